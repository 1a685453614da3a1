// The outbox: sinks, failed messages, and all messages with filters.
import { newIdempotencyKey, request } from './api.js';
import { h, isolate, setChildren, showToast, subscribe } from './dom.js';
import { pluralize, relativeTimeElement } from './format.js';
import { liveTable, morph, pageReader, poll } from './live-table.js';
import { badge, button, longText, muted, selectField, table, tableRow } from './page.js';
import { emptyState, errorAlert } from './parts.js';
import { replaceParameters } from './route.js';

const STATUS_KINDS = { waiting: 'warning', delivered: 'success', dead: 'danger', retrying: 'accent' };
const statusText = (status) => (status === 'dead' ? 'failed' : status);
// A message has a row for each sink.
const rowId = (message) => `${message.id} ${message.sink}`;

const REFRESH_INTERVAL = 5000;
const RETRY_REFRESH_DELAY = 1500;

/** Shows the outbox in `container`. `filter.message` is the ID of a message to scroll to. */
export async function showOutbox(container, filter, signal) {
  const outbox = new Outbox(filter, signal);
  await outbox.load();
  container.append(outbox.element());
  outbox.refreshNow = poll(REFRESH_INTERVAL, () => outbox.refresh(), outbox.pollError, signal);
  if (filter.message) subscribe('page-shown', () => outbox.scrollToMessage(container), signal);
}

class Outbox {
  constructor(filter, signal) {
    Object.assign(this, { filter, signal, sinks: [], retriedIds: new Set(), refreshNow: null });
    this.sinkTable = h('div');
    this.pollError = h('div');
    this.notice = h('div');
    this.messageList = h('div');
    this.failedTable = this.createTable('Failed messages', 10, { status: 'dead' }, emptyState('No failed messages'));
    this.failedSection = h('div', null, h('h3', null, 'Failed messages'), this.failedTable.element);
  }

  async load() {
    await Promise.all([this.failedTable.load(), this.search()]);
  }

  element() {
    const messages = this.sinks.length > 0 && h('div', null, h('h3', null, 'Messages'), this.filterForm(), this.messageList);
    return h('div.stack', null, this.sinkTable, this.pollError, this.notice, this.failedSection, messages);
  }

  createTable(name, pageSize, query, empty) {
    return liveTable({
      name, pageSize, empty, columns: MESSAGE_COLUMNS,
      load: this.pageReader(query),
      id: rowId,
      date: (message) => Date.parse(message.created_at),
      draw: (message) => this.messageRow(message),
    });
  }

  /** Returns a page reader that also updates the sinks, which are part of each response. */
  pageReader(query) {
    const readPage = pageReader('/admin/outbox', 'messages', query, this.signal);
    return async (cursor, limit) => {
      // A linked message is more likely to be on a large page.
      const response = await readPage(cursor, this.filter.message ? 200 : limit);
      this.sinks = response.sinks;
      morph(this.sinkTable, h('div', null, sinkTable(this.sinks)));
      // A retried message stays visible, although no message is failed any more.
      this.failedSection.hidden = !this.sinks.some((sink) => sink.dead) && this.retriedIds.size === 0;
      return response;
    };
  }

  /** Loads the messages that match the filter. */
  async search() {
    const { status, sink, topic } = this.filter;
    const messages = this.createTable('Messages, newest first', 50, { status, sink, topic },
      emptyState('No matching messages', 'A change of settings creates a message for each sink.'));
    this.messageTable = messages;
    await messages.load();
    // The filter may have changed during the request.
    if (messages === this.messageTable) setChildren(this.messageList, messages.element);
  }

  async refresh() {
    await Promise.all([this.failedTable.refresh(), this.messageTable.refresh()]);
    // The list of failed messages has no retried messages, so their state comes from the other list.
    for (const [id, message] of this.messageTable.items) if (this.retriedIds.has(id)) this.failedTable.update(message);
  }

  async retry(message) {
    const id = rowId(message);
    const query = { sink: message.sink };
    const { data } = await request('POST', `/admin/outbox/${message.id}/retry`, { query, idempotencyKey: newIdempotencyKey() });
    setChildren(this.notice);
    this.retriedIds.add(id);
    for (const messages of [this.failedTable, this.messageTable]) {
      const hadFocus = messages.rowOf(id)?.contains(document.activeElement);
      messages.update({ ...message, status: 'retrying', last_error: null });
      // The button disappears, so the focus moves to another element of the row.
      if (hadFocus) messages.rowOf(id).querySelector('summary').focus();
    }
    showToast(`Retrying delivery to ${data.sinks.join(' and ')}.`);
    setTimeout(() => this.refreshNow(), RETRY_REFRESH_DELAY);
  }

  filterForm() {
    const field = (title, name, values, format) => selectField(title, name, values, this.filter[name], (value) => {
      this.filter[name] = value;
      replaceParameters(this.filter);
      this.search();
    }, format);
    const unchanged = (value) => value;
    return h('form.filters', { role: 'search', 'aria-label': 'Messages' },
      field('Status', 'status', ['waiting', 'delivered', 'dead'], statusText),
      field('Sink', 'sink', this.sinks.map((sink) => sink.sink), unchanged),
      field('Topic', 'topic', [...new Set(this.sinks.flatMap((sink) => sink.topics))].sort(), unchanged));
  }

  messageRow(message) {
    const { id, topic, sink, status, attempts, payload, settled_at: settledAt, due_at: dueAt, created_at: createdAt, last_error: error } = message;
    const isLinked = id === this.filter.message;
    const isRetried = status === 'waiting' && attempts > 0;
    const retry = () => this.retry(message).catch((problem) => setChildren(this.notice, errorAlert(problem)));
    return tableRow(MESSAGE_COLUMNS, { 'data-id': rowId(message), class: isLinked && 'highlighted', tabindex: isLinked && '-1' },
      [isolate(topic), isLinked && [' ', badge('accent', 'linked')], h('div.mono.muted', null, id),
        h('details', null, h('summary', null, 'Payload'), h('pre', { tabindex: '0' }, isolate(JSON.stringify(payload, null, 2))))],
      isolate(sink),
      [badge(STATUS_KINDS[status], statusText(status)), attempts > 0 && ` ${pluralize(attempts, 'attempt')}`,
        settledAt && [', ', relativeTimeElement(settledAt)], isRetried && [', next ', relativeTimeElement(dueAt)],
        error && h('p.error', null, longText(error))],
      relativeTimeElement(createdAt),
      (isRetried || status === 'dead') && button('Retry', retry, `Retry ${topic} ${id} to ${sink}`));
  }

  scrollToMessage(container) {
    const { message: id } = this.filter;
    const row = [...container.querySelectorAll('tr[data-id]')].find((candidate) => candidate.dataset.id.startsWith(id));
    if (!row) {
      setChildren(this.notice, h('p.note.warning', { role: 'status' },
        'Message ', isolate(id), ' is not among the newest messages. The message may be older, or deleted.'));
      return;
    }
    row.focus({ preventScroll: true });
    row.scrollIntoView({ block: 'center' });
  }
}

const SINK_COLUMNS = { Sink: 'w8', Waiting: 'w14', Failed: 'w8', 'Subscribed to': '' };
const MESSAGE_COLUMNS = { Message: '', Sink: 'w6', Status: '', Created: 'w8', Actions: 'w8' };

function sinkTable(sinks) {
  if (sinks.length > 0) return table('Sinks', SINK_COLUMNS, sinks.map(sinkRow));
  const variable = (name) => h('code', null, name);
  return h('div.card', null, emptyState('No sinks configured', 'Set ', variable('DISCORD_WEBHOOK_URL'), ', or ', variable('ALERT_WEBHOOK_URL'), ' and ',
    variable('ALERT_WEBHOOK_SECRET'), ', in the environment and restart the service to notify other services of changes.'));
}

function sinkRow({ sink, waiting, oldest_waiting_seconds: oldestAge, dead_since: disabledSince, dead_reason: disabledReason, dead: failed, topics }) {
  return tableRow(SINK_COLUMNS, { 'data-id': sink },
    isolate(sink),
    [waiting > 0 ? `${waiting.toLocaleString('en')}, oldest ${Math.round(oldestAge ?? 0)} s` : 'none',
      disabledSince && h('p.error', null, 'Disabled ', relativeTimeElement(disabledSince), ': ', longText(disabledReason ?? ''),
        '. Change the URL or retry a message to enable the sink again.')],
    failed > 0 ? badge('danger', failed.toLocaleString('en')) : 'none',
    topics.length > 0 ? topics.join(', ') : muted('nothing: this instance has no URL for the sink'));
}

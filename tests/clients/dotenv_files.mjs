// An exported `.env` file as dotenv for Node.js reads it.
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import dotenv from 'dotenv';

const text = readFileSync(process.env.FILE, 'utf8');
const expected = JSON.parse(readFileSync(process.env.EXPECTED, 'utf8')).settings;
const lines = text.split('\n');
const shellsOnly = new Set(lines.flatMap((line, at) => (lines[at - 1]?.startsWith('# The next line is for') ? [line.split('=')[0]] : [])));
const found = dotenv.parse(text);
for (const key of Object.keys(expected)) {
  if (!shellsOnly.has(key)) assert.equal(found[key], expected[key], key);
}

// A page that shows a setting, written as in the documentation.
import { OpenFeature, ProviderEvents } from '@openfeature/web-sdk';
import { OFREPWebProvider } from '@openfeature/ofrep-web-provider';

const minutes = document.querySelector('#minutes');
const changes = document.querySelector('#changes');

function show() {
  minutes.textContent = OpenFeature.getClient().getNumberValue('BRUNE_COOLDOWN_MINUTES', -1);
}

window.start = async (baseUrl, token) => {
  OpenFeature.addHandler(ProviderEvents.ConfigurationChanged, () => {
    changes.textContent = Number(changes.textContent) + 1;
    show();
  });
  await OpenFeature.setProviderAndWait(new OFREPWebProvider({
    baseUrl, headers: [['Authorization', `Bearer ${token}`]], cacheMode: 'disabled',
  }));
  show();
};

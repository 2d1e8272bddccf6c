// Passkeys: a form asks the authenticator, is filled with its answer, and is sent. Without this script, or in a browser that has no passkeys, the forms
// stay hidden.
(() => {
  'use strict';
  if (!window.PublicKeyCredential || window.passkeysReady) return;
  window.passkeysReady = true;
  const MINUTES_5 = 300000;
  const ALGORITHMS = [-7, -8, -257];
  const octets = (text) => Uint8Array.from(atob(text.replace(/-/g, '+').replace(/_/g, '/')), (c) => c.charCodeAt(0));
  const encoded = (buffer) => {
    const text = Array.from(new Uint8Array(buffer), (octet) => String.fromCharCode(octet)).join('');
    return btoa(text).replace(/\+/g, '-').replace(/\//g, '_').replace(/=+$/, '');
  };
  const known = (form) => form.dataset.known.split(' ').filter(Boolean).map((id) => ({ type: 'public-key', id: octets(id) }));

  async function create(form) {
    const { challenge, site, user, login } = form.dataset;
    const { response } = await navigator.credentials.create({
      publicKey: {
        challenge: octets(challenge),
        rp: { id: site, name: site },
        user: { id: octets(user), name: login, displayName: login },
        pubKeyCredParams: ALGORITHMS.map((alg) => ({ type: 'public-key', alg })),
        excludeCredentials: known(form),
        authenticatorSelection: { residentKey: 'preferred', userVerification: 'preferred' },
        attestation: 'none',
        timeout: MINUTES_5,
      },
    });
    return {
      client_data: encoded(response.clientDataJSON),
      authenticator_data: encoded(response.getAuthenticatorData()),
      public_key: encoded(response.getPublicKey()),
      algorithm: response.getPublicKeyAlgorithm(),
    };
  }

  async function get(form) {
    const { challenge, site, verification } = form.dataset;
    const credential = await navigator.credentials.get({
      publicKey: { challenge: octets(challenge), rpId: site, allowCredentials: known(form), userVerification: verification, timeout: MINUTES_5 },
    });
    const { response } = credential;
    return {
      id: encoded(credential.rawId),
      client_data: encoded(response.clientDataJSON),
      authenticator_data: encoded(response.authenticatorData),
      signature: encoded(response.signature),
    };
  }

  async function answer(event) {
    const form = event.target;
    event.preventDefault();
    const fault = form.querySelector('[data-passkey-fault]');
    fault.hidden = true;
    try {
      const fields = await (form.dataset.passkey === 'create' ? create(form) : get(form));
      for (const [name, value] of Object.entries(fields)) form.elements[name].value = value;
    } catch {
      // The visitor has said no, or has no passkey for this site.
      fault.hidden = false;
      return;
    }
    form.submit();
  }

  for (const form of document.querySelectorAll('form[data-passkey]')) {
    form.addEventListener('submit', answer);
    form.hidden = false;
  }
})();

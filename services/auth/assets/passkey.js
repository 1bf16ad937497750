// Adds a passkey, or signs in with one. The page works without: what needs this stays hidden.
const place = document.querySelector("[data-passkey]");
const credentials = window.PublicKeyCredential;

async function post(path, fields) {
  const body = new URLSearchParams({ csrf: place.dataset.csrf, ...fields });
  const answer = await fetch(place.dataset.base + path, { method: "POST", body });
  if (!answer.ok) throw new Error(String(answer.status));
  return answer.json();
}

async function register() {
  const begun = await post("/register/begin", {});
  const publicKey = credentials.parseCreationOptionsFromJSON(begun.options.publicKey);
  const made = await navigator.credentials.create({ publicKey });
  return post("/register", { ceremony: begun.ceremony, credential: JSON.stringify(made) });
}

async function login() {
  const begun = await post("/login/begin", {});
  const publicKey = credentials.parseRequestOptionsFromJSON(begun.options.publicKey);
  const signed = await navigator.credentials.get({ publicKey });
  return post("/login", {
    ceremony: begun.ceremony,
    credential: JSON.stringify(signed),
    request: place.dataset.request || "",
    next: place.dataset.next || "",
  });
}

if (place && credentials && credentials.parseCreationOptionsFromJSON) {
  const button = place.querySelector("button");
  const wrong = place.querySelector("[role=alert]");
  place.hidden = false;
  button.addEventListener("click", async () => {
    button.disabled = true;
    wrong.hidden = true;
    try {
      const done = await (place.dataset.passkey === "login" ? login() : register());
      location.assign(done.next);
    } catch {
      wrong.hidden = false;
      button.disabled = false;
    }
  });
}

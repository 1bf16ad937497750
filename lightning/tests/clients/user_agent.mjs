// A browser without a screen: cookies, redirects by hand, and forms as a person fills them in.
// It runs no scripts, so every page that these tests pass works without JavaScript.

const entities = { "&amp;": "&", "&lt;": "<", "&gt;": ">", "&quot;": '"', "&#39;": "'", "&#x27;": "'", "&#x2F;": "/" };
const decode = (text) =>
  text
    .replace(/&(?:amp|lt|gt|quot|#39|#x27|#x2F);/g, (entity) => entities[entity])
    .replace(/&#(\d+);/g, (_, code) => String.fromCodePoint(Number(code)));

function attributes(tag) {
  const found = {};
  for (const [, name, quoted, bare] of tag.matchAll(/([a-zA-Z_:][-\w:.]*)(?:\s*=\s*(?:"([^"]*)"|([^\s">]+)))?/g)) {
    found[name.toLowerCase()] = decode(quoted ?? bare ?? "");
  }
  return found;
}

/** The forms of a page, each with its fields and its buttons. */
export function forms(html) {
  return [...html.matchAll(/<form\b([^>]*)>([\s\S]*?)<\/form>/gi)].map(([, head, body]) => {
    const fields = {};
    for (const [, tag] of body.matchAll(/<input\b([^>]*)>/gi)) {
      const input = attributes(tag);
      const ticked = !["checkbox", "radio"].includes(input.type) || "checked" in input;
      if (input.name && input.type !== "submit" && ticked) fields[input.name] = input.value ?? "";
    }
    const buttons = [...body.matchAll(/<button\b([^>]*)>([\s\S]*?)<\/button>/gi)].map(([, tag, text]) => ({
      ...attributes(tag),
      text: decode(text.replace(/<[^>]*>/g, "").trim()),
    }));
    return { ...attributes(head), fields, buttons };
  });
}

export class UserAgent {
  constructor() {
    this.cookies = new Map();
  }

  /** Asks for a page and follows redirects, up to the first one for which `stop` holds. */
  async open(url, { method = "GET", body, stop = () => false } = {}) {
    let target = new URL(url);
    for (let hops = 0; hops < 20; hops++) {
      const headers = { accept: "text/html" };
      if (this.cookies.size) headers.cookie = [...this.cookies].map(([name, value]) => `${name}=${value}`).join("; ");
      if (body !== undefined) {
        headers["content-type"] = "application/x-www-form-urlencoded";
        headers.origin = target.origin;
      }
      const response = await fetch(target, { method, headers, body, redirect: "manual" });
      for (const line of response.headers.getSetCookie()) {
        const [pair, ...rest] = line.split(";");
        const at = pair.indexOf("=");
        const gone = rest.some((part) => /^\s*max-age=0\s*$/i.test(part));
        if (gone) this.cookies.delete(pair.slice(0, at));
        else this.cookies.set(pair.slice(0, at), pair.slice(at + 1));
      }
      const location = response.headers.get("location");
      if (response.status >= 300 && response.status < 400 && location) {
        target = new URL(location, target);
        if (stop(target)) return { url: target, stopped: true };
        // What was posted is not posted again to the next address (RFC 9110 section 15.4.4).
        [method, body] = ["GET", undefined];
        continue;
      }
      const html = await response.text();
      return { url: target, status: response.status, html, forms: forms(html), stopped: false };
    }
    throw new Error(`more than 20 redirects from ${url}`);
  }

  /** Fills in the first form that has all the fields of `values`, and presses the button called `button`. */
  async submit(page, values, { button, stop } = {}) {
    const wanted = Object.keys(values);
    const form = page.forms.find(
      (form) =>
        wanted.every((name) => name in form.fields) &&
        (!button || form.buttons.some((one) => one.text.match(button))),
    );
    if (!form) throw new Error(`no form with ${wanted} and ${button} on ${page.url}:\n${page.html}`);
    const body = new URLSearchParams({ ...form.fields, ...values });
    const pressed = button && form.buttons.find((one) => one.text.match(button));
    if (pressed?.name) body.set(pressed.name, pressed.value ?? "");
    const url = new URL(pressed?.formaction ?? (form.action || page.url.href), page.url);
    return this.open(url, { method: "POST", body: body.toString(), stop });
  }
}

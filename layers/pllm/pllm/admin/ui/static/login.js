// The way in: a key with the role admin or viewer. It is held by the API client, in memory, until the page is left.

import { Api } from "./api.js";
import { field, form } from "./components.js";
import { h } from "./dom.js";
import { mark } from "./icons.js";
import { themeSwitch } from "./shell.js";

/** Shows the login; calls enter(key, who) when a key was good. `message`: why one is here again. */
export function login(root, { message, enter }) {
  const key = field({
    label: "Key",
    name: "key",
    type: "password",
    required: true,
    autocomplete: "off",
    spellcheck: "false",
    autocapitalize: "none",
    placeholder: "sk-pllm-…",
    hint: "The master key, or a virtual key with the role admin or viewer. It stays in this tab's memory: a reload forgets it.",
  });
  const submit = h("button", { type: "submit", class: "button button-primary button-wide" }, h("span", null, "Log in"));
  async function tried() {
    const given = key.value.trim();
    if (!given) return key.problem("Type or paste a key.");
    submit.disabled = true;
    try {
      enter(given, await new Api(given).get("/api/admin/me"));
    } catch (error) {
      key.problem(words(error));
    } finally {
      submit.disabled = false;
    }
  }
  const title = h("h1", { class: "login-title" }, mark(40), h("span", null, "PLLM"));
  const why = message && h("p", { class: "notice notice-info", role: "status" }, message);
  const box = h("div", { class: "login-box" }, title, h("p", { class: "muted" }, "Operations console of your LLM gateway"), why, form([key], tried, submit));
  root.replaceChildren(h("main", { class: "login" }, box, h("div", { class: "login-foot" }, themeSwitch())));
  key.input.focus();
}

function words(error) {
  if (error.status === 401) return "This key is not known, has expired, or was revoked.";
  if (error.status === 403) return "This key may use models and not look at this page: it needs the role admin or viewer.";
  return error.message;
}

// The dialog in which a key is made or changed.

import { dialog, field } from "../../components.js";
import { h } from "../../dom.js";
import { changes, limitFields, parted, telling } from "./limits.js";

const SCOPES = ["audio", "chat", "completions", "embeddings", "images", "messages", "models", "moderations", "rerank", "responses", "usage"];
const ROLES = [
  { value: "user", label: "user: may call models" },
  { value: "viewer", label: "viewer: may look at this page" },
  { value: "admin", label: "admin: everything" },
];

/** Asks for a new key. Resolves with the API's answer, its secret in it, or null. */
export function createKey(api, teams) {
  const form = keyForm(teams);
  return dialog({
    title: "New key",
    body: form.nodes,
    action: "Create key",
    wide: true,
    run: () => telling(form.fields, () => api.post("/api/admin/keys", given(form.values()))),
  });
}

/** Asks for a key's changes. Resolves with the key as it is then, or null. */
export function editKey(api, teams, key) {
  const form = keyForm(teams, key);
  const send = () => api.patch(`/api/admin/keys/${encodeURIComponent(key.id)}`, { ...changes(key, form.values()), version: key.version });
  return dialog({ title: `Change ${key.name}`, body: form.nodes, action: "Save changes", wide: true, run: () => telling(form.fields, send) });
}

/** What is not said is left out: the API has defaults of its own. */
function given(values) {
  return Object.fromEntries(Object.entries(values).filter(([, value]) => value !== null));
}

function keyForm(teams, key = {}) {
  const none = { value: "", label: "no team" };
  const name = field({ label: "Name", name: "name", required: true, value: key.name, maxlength: 128, hint: "What people call it. The configuration's limits go by it." });
  const team = field({ label: "Team", name: "team", type: "select", value: key.team ?? "", options: [none, ...teams.map((one) => ({ value: one.id, label: one.name === one.id ? one.id : `${one.name} (${one.id})` }))] });
  const role = field({ label: "Role", name: "role", type: "select", value: key.role ?? "user", options: ROLES });
  const models = field({ label: "Models", name: "models", value: (key.models ?? ["*"]).join(", "), hint: "Names, aliases or routes with * as a wildcard, separated by commas." });
  const expiry = field({ label: "Expires", name: "expires_at", type: "datetime-local", value: localTime(key.expires_at), hint: "In your time zone. Empty: never." });
  const tags = field({ label: "Tags", name: "tags", value: (key.tags ?? []).join(", "), hint: "Separated by commas. Where a model has deployments with one of them, its requests go there." });
  const scopes = scopeFields(key.scopes ?? ["*"]);
  const limits = limitFields(key);
  function values() {
    return {
      name: name.value.trim(),
      team: team.value || null,
      role: role.value,
      models: parted(models.value),
      scopes: scopes.values(),
      ...limits.values(),
      expires_at: moment(expiry.value, key.expires_at),
      tags: parted(tags.value),
    };
  }
  const nodes = [
    h("div", { class: "fields-2" }, name.node, team.node),
    h("div", { class: "fields-2" }, models.node, role.node),
    scopes.node,
    limits.node,
    h("div", { class: "fields-2" }, expiry.node, tags.node),
  ];
  return { nodes, fields: [name, team, role, models, expiry, tags, scopes, ...limits.fields], values };
}

/** All, or some of them. */
function scopeFields(known) {
  const every = field({ label: "Everything", name: "all-scopes", type: "checkbox", value: known.includes("*") });
  const some = SCOPES.map((scope) => field({ label: scope, name: `scope-${scope}`, type: "checkbox", value: known.includes(scope) || known.includes("*") }));
  const wrong = h("p", { class: "field-problem", role: "alert" });
  const node = h("fieldset", { class: "fieldset" }, h("legend", null, "May call"), every.node, h("div", { class: "fields-many" }, some.map((one) => one.node)), wrong);
  function show() {
    wrong.textContent = "";
    for (const one of some) one.input.disabled = every.value;
  }
  every.input.addEventListener("change", show);
  show();
  return {
    name: "scopes",
    node,
    problem: (text) => (wrong.textContent = text),
    values: () => (every.value ? ["*"] : SCOPES.filter((_, place) => some[place].value)),
  };
}

function localTime(at) {
  if (!at) return "";
  const when = new Date(at);
  return new Date(when.getTime() - when.getTimezoneOffset() * 60_000).toISOString().slice(0, 16);
}

/** What the field says as RFC 3339; untouched it stays to the second what it was. */
function moment(text, known) {
  if (!text) return null;
  return text === localTime(known) ? known : new Date(text).toISOString();
}

// One key: everything that is known of it, and for administrators what can be done with it.

import { badge, button, confirm, dialog, field, toast } from "../../components.js";
import { h } from "../../dom.js";
import { ago, dateTime } from "../../format.js";
import { quotaMeters } from "../../meters.js";
import { editKey } from "./editor.js";
import { limitWords } from "./limits.js";
import { STATUS_TONES } from "./list.js";
import { showSecret } from "./secret.js";

const GRACES = [
  { value: "86400", label: "24 hours" },
  { value: "604800", label: "7 days" },
  { value: "3600", label: "1 hour" },
  { value: "0", label: "not at all" },
];

/** Shows a key; `changed` is called after something was done with it. */
export async function keyDetails(context, found, key, changed) {
  let chosen = null;
  const box = h("div", { class: "actions" });
  for (const one of context.who.role === "admin" ? [...actionsOf(key), USAGE] : [USAGE]) {
    box.append(button(one.label, { tone: one.tone, onclick: (event) => ((chosen = one), event.target.closest("dialog").close()) }));
  }
  await dialog({ title: key.name, body: [facts(key), scopes(found.limits.get(key.id)), box], action: null, cancel: "Close", wide: true });
  if (chosen && (await chosen.run(context, key, found))) await changed();
}

function actionsOf(key) {
  if (key.status === "revoked") return [REMOVE];
  const live = [EDIT, ROTATE, key.status === "disabled" ? ENABLE : DISABLE];
  return [...live, REVOKE, REMOVE];
}

const at = (key) => `/api/admin/keys/${encodeURIComponent(key.id)}`;

const USAGE = { label: "Usage", run: (context, key) => context.navigate(`usage/key/${key.id}`) };
const EDIT = { label: "Change", tone: "primary", run: (context, key, found) => editKey(context.api, found.teams, key) };
const ROTATE = { label: "Rotate", run: rotate };
const ENABLE = { label: "Enable", run: (context, key) => switched(context, key, "enable", `${key.name} works again`) };
const DISABLE = {
  label: "Disable",
  run: (context, key) =>
    confirm({ title: `Disable ${key.name}?`, text: "Requests with it are refused until it is enabled again: at once where it is limited, elsewhere within five seconds.", action: "Disable", run: () => switched(context, key, "disable", `${key.name} is disabled`) }),
};
const REVOKE = {
  label: "Revoke",
  run: (context, key) =>
    confirm({ title: `Revoke ${key.name}?`, text: "It stops for good: nobody can make it work again. Its record and its usage stay.", action: "Revoke for good", run: () => switched(context, key, "revoke", `${key.name} is revoked`) }),
};
const REMOVE = {
  label: "Delete",
  run: (context, key) =>
    confirm({ title: `Delete ${key.name}?`, text: "It stops for good, and its record is forgotten. What it used stays in the ledger, under its id.", action: "Delete", run: () => removed(context, key) }),
};

async function switched(context, key, verb, words) {
  const after = await context.api.post(`${at(key)}/${verb}`, { version: key.version });
  toast(words);
  return after;
}

async function removed(context, key) {
  const gone = await context.api.delete(`${at(key)}?version=${key.version}`);
  toast(`${key.name} is deleted`);
  return gone;
}

async function rotate(context, key) {
  const grace = field({ label: "The present secret works for another", name: "grace_seconds", type: "select", options: GRACES, value: "86400" });
  const words = h("p", null, "The key gets a new secret, which is shown once. Its limits, its budget and its id stay.");
  const send = () => context.api.post(`${at(key)}/rotate`, { grace_seconds: Number(grace.value), version: key.version });
  const made = await dialog({ title: `Rotate ${key.name}`, body: [words, grace.node], action: "Rotate", run: send });
  if (made) await showSecret(made, "New secret");
  return made;
}

function facts(key) {
  const rows = [
    ["Id", h("code", null, key.id)],
    ["Status", badge(key.status, STATUS_TONES[key.status])],
    ["Role", key.role],
    ["Team", key.team ?? "none"],
    ["Models", key.models.join(", ")],
    ["May call", key.scopes.includes("*") ? "everything" : key.scopes.join(", ")],
    ["Own limits", limitWords(key).join(", ") || "none: the configuration's hold"],
    ["Expires", key.expires_at ? `${dateTime(key.expires_at)} (${ago(key.expires_at)})` : "never"],
    key.previous_valid_until && ["Former secret works until", dateTime(key.previous_valid_until)],
    key.tags.length > 0 && ["Tags", key.tags.join(", ")],
    ...Object.entries(key.metadata).map(([name, value]) => [name, value]),
    ["Created", `${dateTime(key.created_at)} by ${key.created_by}`],
  ];
  return h("dl", { class: "facts" }, rows.filter(Boolean).map(([name, value]) => [h("dt", null, name), h("dd", null, value)]));
}

function scopes(scope) {
  if (!scope) return h("p", { class: "muted" }, "Nothing limits it.");
  return h("section", { class: "meters", "aria-label": "What is used of its limits" }, scope.stopped && badge("Its gate is closed", "bad"), quotaMeters(scope));
}

// The keys: found, made, and each with what it may and what it has used.

import { badge, button, card, empty, field, table } from "../../components.js";
import { h, replace } from "../../dom.js";
import { ago, plural } from "../../format.js";
import { budgetMeter } from "../../meters.js";
import { keyDetails } from "./details.js";
import { createKey } from "./editor.js";
import { limitsOf } from "./limits.js";
import { loaded, quotas } from "./load.js";
import { showSecret } from "./secret.js";

export const STATUS_TONES = { active: "good", disabled: "warn", expired: "warn", revoked: "bad" };
const SHOWN = 100;

export function keysTab(panel, context) {
  return loaded(panel, async () => {
    const [keys, teams, limits] = await Promise.all([context.api.all("/api/admin/keys?limit=1000"), context.api.get("/api/admin/teams"), quotas(context.api, "key")]);
    draw(panel, context, { keys, teams: teams.data, limits });
  });
}

function draw(panel, context, found) {
  const again = () => keysTab(panel, context);
  const admin = context.who.role === "admin";
  const results = h("div", null);
  const count = h("span", { role: "status" });
  const search = field({ label: "Search", name: "search", type: "search", placeholder: "name, id or tag" });
  const status = field({ label: "Status", name: "status", type: "select", options: [{ value: "", label: "any" }, ...Object.keys(STATUS_TONES)] });
  const team = field({ label: "Team", name: "team", type: "select", options: [{ value: "", label: "any" }, ...found.teams.map((one) => one.id)] });
  let most = SHOWN;

  function show() {
    const matching = found.keys.filter((key) => matches(key, search.value, status.value, team.value));
    count.textContent = matching.length === found.keys.length ? plural(matching.length, "key") : `${matching.length} of ${plural(found.keys.length, "key")}`;
    const more = matching.length > most && button(`Show ${Math.min(SHOWN, matching.length - most)} more`, { onclick: showMore });
    replace(results, keyTable(matching.slice(0, most), found, (key) => keyDetails(context, found, key, again)), more);
  }
  function showMore() {
    most += SHOWN;
    show();
  }
  function narrowed() {
    most = SHOWN;
    show();
  }
  async function create() {
    const made = await createKey(context.api, found.teams);
    if (!made) return;
    await showSecret(made, "New key");
    await again();
  }
  for (const one of [search, status, team]) one.input.addEventListener("input", narrowed);
  show();
  const actions = [button("Refresh", { icon: "refresh", onclick: again }), admin && button("New key", { tone: "primary", icon: "plus", onclick: create })];
  replace(panel, card({ title: "Virtual keys", subtitle: count, actions }, h("div", { class: "filters" }, search.node, status.node, team.node), results));
}

function matches(key, text, status, team) {
  const wanted = text.trim().toLowerCase();
  const said = [key.name, key.id, ...key.tags].join("\n").toLowerCase();
  return said.includes(wanted) && (!status || key.status === status) && (!team || key.team === team);
}

function keyTable(keys, { limits }, open) {
  const columns = [
    { label: "Name", header: true, cell: (key) => keyName(key, open) },
    { label: "Status", cell: (key) => badge(key.status, STATUS_TONES[key.status]) },
    { label: "Team", cell: (key) => key.team ?? h("span", { class: "muted" }, "none") },
    { label: "Limits", cell: (key) => limitList(key, limits.get(key.id)) },
    { label: "Budget used", class: "cell-wide", cell: (key) => budgetOf(limits.get(key.id)) },
    { label: "Expires", cell: (key) => (key.expires_at ? ago(key.expires_at) : h("span", { class: "muted" }, "never")) },
  ];
  const none = empty("No key is there", "Nothing matches, or nobody has made one yet. The master key works all the same.");
  return table({ caption: "Virtual keys", columns, rows: keys, key: (key) => key.id, empty: none });
}

function keyName(key, open) {
  const role = key.role === "user" ? null : badge(key.role, "info", { plain: true });
  return h("div", { class: "names" }, h("button", { type: "button", class: "link", onclick: () => open(key) }, key.name), role, h("code", { class: "muted small" }, key.id));
}

function limitList(key, scope) {
  const words = limitsOf({ ...key, budget: null }, scope && { ...scope, budget: null });
  return words.length > 0 ? h("ul", { class: "small nowrap" }, words.map((one) => h("li", null, one))) : h("span", { class: "muted" }, "none");
}

function budgetOf(scope) {
  return scope?.budget ? budgetMeter({ ...scope.budget, resets_at: null }) : h("span", { class: "muted" }, "no budget");
}

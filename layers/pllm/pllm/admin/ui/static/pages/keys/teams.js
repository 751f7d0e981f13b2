// Teams: their limits hold for all of their keys together.

import { button, card, confirm, dialog, empty, field, table, toast } from "../../components.js";
import { h, replace } from "../../dom.js";
import { number } from "../../format.js";
import { quotaMeters } from "../../meters.js";
import { changes, limitFields, limitsOf, parted, telling } from "./limits.js";
import { loaded, quotas } from "./load.js";

export function teamsTab(panel, context) {
  return loaded(panel, async () => {
    const [teams, limits] = await Promise.all([context.api.get("/api/admin/teams"), quotas(context.api, "team")]);
    draw(panel, context, teams.data, limits);
  });
}

function draw(panel, context, teams, limits) {
  const again = () => teamsTab(panel, context);
  const admin = context.who.role === "admin";
  const done = (work) => async () => (await work()) && again();
  const columns = [
    { label: "Team", header: true, cell: (team) => h("div", { class: "names" }, h("strong", null, team.name), h("code", { class: "muted small" }, team.id)) },
    { label: "Keys", align: "end", cell: (team) => number(team.keys) },
    { label: "Models", cell: (team) => team.models.join(", ") },
    { label: "Limits", cell: (team) => limitsOf(team, limits.get(team.id)).join(", ") || h("span", { class: "muted" }, "none") },
    { label: "Used", class: "cell-wide", cell: (team) => used(limits.get(team.id)) },
  ];
  if (admin) columns.push({ label: "Actions", hideLabel: true, align: "end", cell: (team) => rowActions(context, team, done) });
  const none = empty("No team is there", "A team's limits and budget hold for all of its keys together.");
  const rows = table({ caption: "Teams", columns, rows: teams, key: (team) => team.id, empty: none });
  const actions = [button("Refresh", { icon: "refresh", onclick: again }), admin && button("New team", { tone: "primary", icon: "plus", onclick: done(() => createTeam(context.api)) })];
  const others = [...limits.values()].filter((scope) => !teams.some((team) => team.id === scope.id));
  replace(panel, card({ title: "Teams", actions }, rows), others.length > 0 && configured(others));
}

/** Teams that only the configuration knows. */
function configured(scopes) {
  const columns = [
    { label: "Team", header: true, cell: (scope) => scope.id },
    { label: "Used", class: "cell-wide", cell: (scope) => used(scope) },
  ];
  return card({ title: "Limited by the configuration alone", subtitle: "They have no record: tokens and roles may name them." }, table({ caption: "Teams of the configuration", columns, rows: scopes, key: (scope) => scope.id }));
}

function used(scope) {
  return scope ? h("div", { class: "meters" }, quotaMeters(scope)) : h("span", { class: "muted" }, "not limited");
}

function rowActions(context, team, done) {
  const remove = () => confirm({ title: `Delete the team ${team.name}?`, text: "A team that still has keys cannot be deleted. Its usage stays in the ledger.", action: "Delete", run: () => removed(context, team) });
  return h(
    "div",
    { class: "actions" },
    button("Change", { onclick: done(() => editTeam(context.api, team)), "aria-label": `Change ${team.name}` }),
    button("Delete", { icon: "trash", iconOnly: true, tone: "quiet", onclick: done(remove), "aria-label": `Delete ${team.name}` }),
  );
}

async function removed(context, team) {
  const gone = await context.api.delete(`/api/admin/teams/${encodeURIComponent(team.id)}?version=${team.version}`);
  toast(`${team.name} is deleted`);
  return gone;
}

function createTeam(api) {
  const id = field({ label: "Id", name: "id", required: true, maxlength: 64, hint: "How keys, tokens and the configuration name it. It never changes." });
  const form = teamForm();
  const send = () => api.post("/api/admin/teams", { id: id.value.trim(), ...Object.fromEntries(Object.entries(form.values()).filter(([, value]) => value !== null)) });
  return dialog({ title: "New team", body: [id.node, ...form.nodes], action: "Create team", wide: true, run: () => telling([id, ...form.fields], send) });
}

function editTeam(api, team) {
  const form = teamForm(team);
  const send = () => api.patch(`/api/admin/teams/${encodeURIComponent(team.id)}`, { ...changes(team, form.values()), version: team.version });
  return dialog({ title: `Change ${team.name}`, body: form.nodes, action: "Save changes", wide: true, run: () => telling(form.fields, send) });
}

function teamForm(team = {}) {
  const name = field({ label: "Name", name: "name", value: team.name, maxlength: 128, hint: "What people call it." });
  const models = field({ label: "Models", name: "models", value: (team.models ?? ["*"]).join(", "), hint: "That its keys may use; * is a wildcard. Separated by commas." });
  const tags = field({ label: "Tags", name: "tags", value: (team.tags ?? []).join(", ") });
  const limits = limitFields(team);
  const values = () => ({ name: name.value.trim() || (team.name ?? null), models: parted(models.value), ...limits.values(), tags: parted(tags.value) });
  return { nodes: [h("div", { class: "fields-2" }, name.node, models.node), limits.node, tags.node], fields: [name, models, tags, ...limits.fields], values };
}

// What budgets have left, the fullest first.

import { badge, button, empty, table } from "../../components.js";
import { h, replace } from "../../dom.js";
import { budgetMeter } from "../../meters.js";

const SHOWN = 10;

/** Reads every budget and shows the fullest in `place`. */
export async function budgetList(place, { api }) {
  const scopes = await api.all("/api/admin/budgets?limit=500");
  const found = scopes.filter((scope) => scope.budget).sort((one, other) => other.budget.percent - one.budget.percent);
  draw(place, found, SHOWN);
}

function draw(place, found, most) {
  const columns = [
    { label: "Whose", header: true, cell: (scope) => h("div", { class: "names" }, h("strong", null, scope.name), badge(scope.kind, "info", { plain: true }), scope.name === scope.id ? null : h("code", { class: "muted small" }, scope.id)) },
    { label: "Used", class: "cell-wide", cell: (scope) => budgetMeter(scope.budget) },
  ];
  const none = empty("There is no budget", "A key's or a team's is set on the page Keys, a model's in the configuration.");
  const more = found.length > most && h("div", { class: "more" }, button(`Show all ${found.length}`, { onclick: () => draw(place, found, found.length) }));
  replace(place, table({ caption: "Budgets", columns, rows: found.slice(0, most), key: (scope) => scope.scope, empty: none }), more);
}

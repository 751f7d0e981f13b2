// Routes, aliases and models, each with what it stands for and where it falls back to.

import { barList } from "../../charts.js";
import { badge, card, empty, table } from "../../components.js";
import { h } from "../../dom.js";
import { percent, plural } from "../../format.js";
import { paths } from "./paths.js";
import { STRATEGIES } from "./world.js";

export function routeCard(found, route) {
  const off = !route.enabled && badge("off", "warn");
  const actions = [badge(route.strategy, "info", { plain: true }), off];
  const subtitle = [route.name, route.description, STRATEGIES[route.strategy] && `Chosen: ${STRATEGIES[route.strategy]}.`].filter(Boolean).join(" · ");
  const none = h("p", { class: "muted" }, "No fallback: the request ends here.");
  const way = route.enabled ? (paths(found, route.slug) ?? none) : h("p", { class: "muted" }, "It is not served, and nothing falls back from it.");
  return card({ title: route.slug, subtitle, actions }, h("div", { class: "route" }, choice(found, route), way));
}

/** The models of a route: by priority, and among equals by weight where weights decide. */
function choice(found, route) {
  const ranks = [...new Set(route.models.map((one) => one.priority ?? 0))].sort((one, other) => one - other);
  return h("div", { class: "choice" }, ranks.map((rank) => rankOf(found, route, rank, ranks)));
}

function rankOf(found, route, rank, ranks) {
  const equals = route.models.filter((one) => (one.priority ?? 0) === rank);
  const usable = equals.filter((one) => found.kind(one.model_name) === "model");
  const total = usable.reduce((sum, one) => sum + one.weight, 0);
  const weighted = route.strategy === "weighted" && total > 0;
  const items = equals.map((one) => {
    const share = usable.includes(one) ? one.weight / total : 0;
    return { label: one.model_name, value: share, text: share ? percent(share) : "not served", detail: `weight ${one.weight}` };
  });
  const plain = equals.map((one) => h("li", null, one.model_name, usable.includes(one) ? null : h("span", { class: "muted" }, " (not served)")));
  const label = ranks.length > 1 ? (rank === ranks[0] ? `First (priority ${rank})` : `Then (priority ${rank})`) : "Models";
  return h("div", null, h("h3", { class: "path-title" }, label), weighted ? barList({ label: `${route.slug}: ${label}`, items, most: 1 }) : h("ul", { "aria-label": `${route.slug}: ${label}` }, plain));
}

export function aliasCard(found) {
  const { aliases, strategy } = found.routes;
  const how = found.inOrder ? "Tried in the order in which they stand." : `Chosen: ${STRATEGIES[strategy] ?? strategy}.`;
  const columns = [
    { label: "Alias", header: true, cell: (name) => h("strong", null, name) },
    { label: "Stands for", cell: (name) => h("ol", { class: "inline-list" }, aliases[name].map((one) => h("li", { class: found.kind(one) === "missing" ? "muted" : null }, found.kind(one) === "missing" ? `${one} (not served)` : one))) },
    { label: "Falls back", class: "cell-wide", cell: (name) => paths(found, name) ?? h("span", { class: "muted" }, "no fallback") },
  ];
  return card({ title: "Aliases", subtitle: how }, table({ caption: "Aliases", columns, rows: Object.keys(aliases), key: (name) => name }));
}

export function modelsCard(found) {
  const columns = [
    { label: "Model", header: true, cell: (model) => h("strong", null, model.name) },
    { label: "Deployments", cell: (model) => (model.problem ? badge(model.problem, "warn") : plural(model.deployments.length, "deployment")) },
    { label: "Falls back", class: "cell-wide", cell: (model) => paths(found, model.name) ?? h("span", { class: "muted" }, "no fallback") },
  ];
  const none = empty("There is no model", "`model_list` of the configuration is empty.");
  return card({ title: "Models", subtitle: "Asked for by their own name." }, table({ caption: "Models and their fallbacks", columns, rows: [...found.models.values()], key: (model) => model.name, empty: none }));
}

// The way of a request, drawn: a list in order, which screen readers read as one.

import { h } from "../../dom.js";
import { icon } from "../../icons.js";

const WAYS = [
  { id: "failure", label: "When it fails", icon: "stop" },
  { id: "context", label: "When the prompt is too long", icon: "warn" },
  { id: "policy", label: "When a content filter refuses", icon: "lock" },
];
const KINDS = { model: "model", alias: "alias", route: "route", missing: "is not served" };

/** The paths of a name, one for each reason that has one; null where there is none. */
export function paths(found, name) {
  const ways = found.ways(name);
  const drawn = WAYS.filter((way) => ways[way.id].length > 0).map((way) => pathOf(found, way, [name, ...ways[way.id]]));
  return drawn.length > 0 ? h("div", { class: "paths" }, drawn) : null;
}

function pathOf(found, way, names) {
  const title = h("h3", { class: "path-title" }, icon(way.icon, { size: 16 }), way.label);
  return h("div", null, title, h("ol", { class: "path", "aria-label": way.label }, names.map((name, place) => node(found, name, place))));
}

function node(found, name, place) {
  const kind = found.kind(name);
  const words = h("span", { class: `path-name path-${kind}` }, h("span", { class: "path-word" }, name), h("span", { class: "path-kind" }, KINDS[kind]));
  return h("li", { class: "path-step" }, place > 0 && arrow(), words);
}

function arrow() {
  return h("span", { class: "path-arrow", "aria-hidden": "true" }, "→");
}

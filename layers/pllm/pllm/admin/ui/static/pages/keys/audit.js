// The audit log: who changed what, when, and how it was before and after.

import { badge, button, card, empty, field } from "../../components.js";
import { h, replace } from "../../dom.js";
import { dateTime } from "../../format.js";
import { loaded, trying } from "./load.js";

const PAGE = 50;

export function auditTab(panel, context) {
  return loaded(panel, async () => draw(panel, context, await page(context.api)));
}

function page(api, target = "", before = "") {
  const asked = new URLSearchParams({ limit: PAGE, ...(target && { target }), ...(before && { before }) });
  return api.get(`/api/admin/audit?${asked}`);
}

function draw(panel, context, first) {
  const rows = h("ol", { class: "audit" });
  const below = h("div", { class: "more" });
  const target = field({ label: "Only changes of", name: "target", type: "search", placeholder: "key/key_… or team/search" });
  let asked = "";
  function add(found) {
    rows.append(...found.data.map(entry));
    const nothing = rows.children.length === 0 && empty("Nothing was changed", "Each change of keys, teams, breakers and the configuration leaves a row here.");
    replace(below, nothing, found.next && button("Older changes", { onclick: trying(() => older(found.next)) }));
  }
  async function older(before) {
    add(await page(context.api, asked, before));
    context.announce("Older changes are shown");
  }
  const narrow = trying(async () => {
    asked = target.value.trim();
    const found = await page(context.api, asked);
    rows.replaceChildren();
    add(found);
    context.announce("The changes are shown");
  });
  target.input.addEventListener("change", narrow);
  add(first);
  const actions = button("Refresh", { icon: "refresh", onclick: narrow });
  replace(panel, card({ title: "Audit log", subtitle: "The newest first; it is kept.", actions }, h("div", { class: "filters" }, target.node), rows, below));
}

function entry(row) {
  const changed = differences(row.before, row.after);
  const words = h("div", { class: "audit-words" }, badge(row.what, tone(row.what), { plain: true }), h("code", { class: "break" }, row.target), h("span", { class: "muted" }, `by ${row.who}`));
  const head = h("div", { class: "audit-head" }, words, h("time", { class: "muted small", datetime: row.at }, dateTime(row.at)));
  const details = changed.length > 0 && h("details", null, h("summary", { class: "small" }, `${changed.length} ${changed.length === 1 ? "field" : "fields"}`), h("dl", { class: "changes" }, changed.map(change)));
  return h("li", { class: "audit-row" }, head, details);
}

function change([name, before, after]) {
  return [
    h("dt", null, name),
    h("dd", null, before === undefined ? null : h("del", null, h("span", { class: "visually-hidden" }, "before: "), text(before)), after === undefined ? null : h("ins", null, h("span", { class: "visually-hidden" }, "after: "), text(after))),
  ];
}

/** [name, before, after] of what is not the same; undefined where there is nothing. A version counts up by itself. */
function differences(before, after) {
  const names = [...new Set([...Object.keys(before ?? {}), ...Object.keys(after ?? {})])];
  const pairs = names.map((name) => [name, shown(before?.[name]), shown(after?.[name])]);
  return pairs.filter(([name, one, other]) => name !== "version" && JSON.stringify(one) !== JSON.stringify(other));
}

/** What is empty says nothing. */
function shown(value) {
  const nothing = value === null || value === undefined || (typeof value === "object" && Object.keys(value).length === 0);
  return nothing ? undefined : value;
}

function text(value) {
  if (Array.isArray(value)) return value.join(", ");
  return typeof value === "object" ? Object.entries(value).map(([name, one]) => `${name} ${one}`).join(", ") : String(value);
}

function tone(what) {
  if (/delete|revoke/.test(what)) return "bad";
  return /create|publish|enable/.test(what) ? "good" : "info";
}

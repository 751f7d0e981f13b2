// What pages are made of. Dialogs, toasts and form fields are in dialogs.js and forms.js, and come from here too.

import { h } from "./dom.js";
import { icon } from "./icons.js";

export { complain, confirm, copied, dialog, toast } from "./dialogs.js";
export { field, form } from "./forms.js";

const TONE_ICONS = { good: "check", warn: "warn", bad: "stop", half: "half", info: "info" };

/** button("Save", { tone: "primary" | "danger" | "quiet", icon: "plus", onclick, ... any attribute }) */
export function button(label, { tone = "", icon: drawing, iconOnly = false, ...attributes } = {}) {
  const classes = ["button", tone && `button-${tone}`, iconOnly && "button-icon"].filter(Boolean).join(" ");
  const named = iconOnly ? { "aria-label": label, title: label } : {};
  return h("button", { type: "button", class: classes, ...named, ...attributes }, drawing && icon(drawing), !iconOnly && h("span", null, label));
}

/** A word with a tone: good, warn, bad, half, info, quiet. The icon says the same as the colour; `plain` leaves it out. */
export function badge(text, tone = "quiet", { plain = false } = {}) {
  const drawing = plain ? null : TONE_ICONS[tone];
  return h("span", { class: `badge badge-${tone}` }, drawing && icon(drawing, { size: 14 }), h("span", null, text));
}

/** The head of a page: its <h1>, a sentence, and controls at the right. */
export function pageHead(title, subtitle, ...controls) {
  const words = h("div", { class: "page-words" }, h("h1", { tabindex: -1 }, title), subtitle && h("p", { class: "muted" }, subtitle));
  return h("header", { class: "page-head" }, words, controls.length > 0 && h("div", { class: "page-controls" }, controls));
}

/** card({ title, subtitle, actions, class, key }, ...children): a section with its own <h2>. */
export function card({ title, subtitle, actions, class: more = "", key, ...attributes } = {}, ...children) {
  const words = title && h("div", null, h("h2", null, title), subtitle && h("p", { class: "muted small" }, subtitle));
  const head = (title || actions) && h("header", { class: "card-head" }, words, actions && h("div", { class: "card-actions" }, actions));
  return h("section", { class: `card ${more}`.trim(), "data-key": key, ...attributes }, head, children);
}

/** A number with its name. `detail` says what it is of; `tone`: good, warn, bad. */
export function stat({ label, value, detail, tone = "", key = label }) {
  const parts = [h("dt", null, label), h("dd", { class: "stat-value" }, value), h("dd", { class: "stat-detail" }, detail ?? "\u00a0")];
  return h("div", { class: `stat ${tone && `stat-${tone}`}`.trim(), "data-key": key }, parts);
}

/** A number that is shown short, and to the unit when it is pointed at: short(compact(12_345), number(12_345)). */
export function short(shown, whole) {
  return h("span", { title: shown === whole ? null : whole }, shown);
}

/** Tiles of stat(). */
export function stats(...tiles) {
  return h("dl", { class: "stats" }, tiles);
}

/**
 * A table in a region of its own, which scrolls if it must; on a phone each row becomes a card.
 * columns: [{ label, cell: (row) => text or node, align: "end", class, header: true for the column that names
 * the row, hideLabel }].
 * key: (row) => what tells rows apart. empty: what is shown where there are no rows.
 */
export function table({ caption, columns, rows, key, empty: none, hideCaption = true }) {
  if (rows.length === 0 && none) return none;
  const head = columns.map((column) =>
    h("th", { scope: "col", class: cellClass(column) }, column.hideLabel ? h("span", { class: "visually-hidden" }, column.label) : column.label),
  );
  const body = rows.map((row) => h("tr", { "data-key": key?.(row) }, columns.map((column) => tableCell(column, row))));
  const title = h("caption", { class: hideCaption && "visually-hidden" }, caption);
  const whole = h("table", { class: "table" }, title, h("thead", null, h("tr", null, head)), h("tbody", null, body));
  return h("div", { class: "table-region", role: "region", "aria-label": caption, tabindex: 0 }, whole);
}

function cellClass(column) {
  return [column.align === "end" && "end", column.class].filter(Boolean).join(" ") || null;
}

function tableCell(column, row) {
  const attributes = { class: cellClass(column), "data-label": column.hideLabel ? null : column.label };
  return h(column.header ? "th" : "td", { ...attributes, scope: column.header ? "row" : null }, column.cell(row));
}

/**
 * tabs({ label, items: [{ id, label }], selected, onchange: (id) => ..., panel }): a row of tabs for one panel element, whose
 * content onchange() puts in. Arrow keys move.
 */
export function tabs({ label, items, selected, onchange, panel }) {
  const id = panel?.id || `panel-${Math.random().toString(36).slice(2)}`;
  const buttons = items.map((item) => h("button", { type: "button", role: "tab", id: `${id}-${item.id}`, class: "tab", onclick: () => choose(item.id) }, item.label));
  function choose(wanted, focus = false) {
    items.forEach((item, place) => {
      buttons[place].setAttribute("aria-selected", String(item.id === wanted));
      buttons[place].tabIndex = item.id === wanted ? 0 : -1;
      if (panel && item.id === wanted) panel.setAttribute("aria-labelledby", buttons[place].id);
      if (focus && item.id === wanted) buttons[place].focus();
    });
    onchange(wanted);
  }
  function moved(event) {
    const place = buttons.indexOf(document.activeElement);
    const steps = { ArrowRight: place + 1, ArrowLeft: place - 1, Home: 0, End: items.length - 1 };
    if (place < 0 || !(event.key in steps)) return;
    event.preventDefault();
    choose(items[(steps[event.key] + items.length) % items.length].id, true);
  }
  if (panel) {
    panel.id = id;
    panel.setAttribute("role", "tabpanel");
    panel.tabIndex = 0;
    buttons.forEach((one) => one.setAttribute("aria-controls", id));
  }
  choose(selected ?? items[0].id);
  return h("div", { class: "tabs", role: "tablist", "aria-label": label, onkeydown: moved }, buttons);
}

/** One of a few: segments({ label, items: [{ id, label }], selected, onchange }). A group of radio buttons. */
export function segments({ label, items, selected, onchange }) {
  const name = `choice-${Math.random().toString(36).slice(2)}`;
  const options = items.map((item) => {
    const input = h("input", { type: "radio", name, value: item.id, checked: item.id === selected, onchange: () => onchange(item.id) });
    return h("label", { class: "segment" }, input, h("span", null, item.label));
  });
  return h("fieldset", { class: "segments" }, h("legend", { class: "visually-hidden" }, label), options);
}

/** Nothing is there, and why that is, and perhaps what to do. */
export function empty(title, text, action) {
  return h("div", { class: "empty" }, h("p", { class: "empty-title" }, title), text && h("p", { class: "muted" }, text), action);
}

/** Something could not be loaded: the API's own words, and another try. */
export function failure(error, retry) {
  const words = error?.message ?? String(error);
  const again = retry && button("Try again", { icon: "refresh", onclick: retry });
  return h("div", { class: "notice notice-bad", role: "alert" }, icon("warn"), h("div", { class: "notice-words" }, h("strong", null, "This could not be loaded"), h("p", null, words)), again);
}

/** A line across the page: tone good, warn, bad or info. */
export function notice(tone, title, text, ...actions) {
  const words = h("div", { class: "notice-words" }, h("strong", null, title), text && h("p", null, text));
  return h("div", { class: `notice notice-${tone}`, role: tone === "bad" ? "alert" : "status" }, icon(TONE_ICONS[tone] ?? "info"), words, actions);
}

/** Grey lines where something will be, of about its size, so that nothing jumps. */
export function skeleton(lines = 3, { tall = false } = {}) {
  const bars = Array.from({ length: lines }, () => h("div", { class: tall ? "skeleton skeleton-tall" : "skeleton" }));
  return h("div", { class: "skeletons", "aria-hidden": "true" }, bars);
}

// Usage and cost: what was used by whom and for what, over time; and what budgets have left.

import { button, card, complain, pageHead, segments, skeleton } from "../components.js";
import { h, replace } from "../dom.js";
import { budgetList } from "./usage/budgets.js";
import { usageChart } from "./usage/chart.js";
import { download } from "./usage/download.js";
import { customRange, RANGES } from "./usage/ranges.js";
import { names, readUsage } from "./usage/read.js";
import { groupTable, GROUPS, totals } from "./usage/tables.js";

export const title = "Usage and cost";

export async function render(root, context) {
  // usage/key/key_1: that key alone
  const [wanted, value] = context.rest;
  const only = value && GROUPS.some((one) => one.id === wanted) ? { [wanted]: value } : {};
  const state = { range: "day", group: wanted === "model" ? "key" : "model", only };
  const custom = customRange(() => shown());
  const chosen = h("div", { class: "chips" });
  const tiles = h("div", null, skeleton(1, { tall: true }));
  const chart = usageChart();
  const rows = h("div", null, skeleton(4));
  const budgets = h("div", null, skeleton(3));
  const numbers = h("div", { class: "panel" });
  const grouping = h("div", null);
  const known = await names(context.api);
  let asking = 0;

  const span = () => (state.range === "custom" ? custom.span() : RANGES.find((one) => one.id === state.range).span(Date.now()));

  async function show() {
    const asked = span();
    custom.node.hidden = state.range !== "custom";
    if (!asked) return;
    chips();
    const turn = (asking += 1);
    const { group, only } = state;
    numbers.setAttribute("aria-busy", "true");
    try {
      const found = await readUsage(context.api, { ...asked, group, only });
      if (turn !== asking) return; // something else was asked for in the meantime
      replace(tiles, totals(found));
      chart.show(found);
      replace(rows, groupTable(found, group, known, narrow));
    } finally {
      if (turn === asking) numbers.setAttribute("aria-busy", "false");
    }
  }

  /** What goes wrong is told, and what was shown stays. */
  async function shown() {
    try {
      await show();
      context.announce("The numbers are shown");
    } catch (error) {
      complain(error);
    }
  }
  function groupBy(group) {
    state.group = group;
    shown();
  }
  const choices = (group) => replace(grouping, segments({ label: "Grouped by", items: GROUPS, selected: group, onchange: groupBy }));
  /** Only what belongs to one key, team, model or deployment; looked at by something else then. */
  function narrow(value) {
    state.only = { ...state.only, [state.group]: value };
    const next = GROUPS.find((one) => !(one.id in state.only)) ?? GROUPS[0];
    choices(next.id);
    groupBy(next.id);
  }
  function widen(name) {
    const { [name]: _, ...rest } = state.only;
    state.only = rest;
    shown();
  }
  function chips() {
    const chip = ([name, value]) => button(`${name}: ${known(name, value)}`, { icon: "close", class: "button button-small", "aria-label": `Show more than the ${name} ${known(name, value)}`, onclick: () => widen(name) });
    replace(chosen, Object.entries(state.only).map(chip));
  }
  async function save() {
    const asked = span();
    if (asked) await download(context.api, { ...asked, group: state.group, only: state.only }).catch(complain);
  }

  const ranges = segments({ label: "Time", items: [...RANGES, { id: "custom", label: "Custom" }], selected: state.range, onchange: (id) => ((state.range = id), shown()) });
  const actions = [button("Refresh", { icon: "refresh", onclick: shown }), button("CSV", { icon: "download", onclick: save, "aria-label": "Download these numbers as CSV" })];
  choices(state.group);
  numbers.append(tiles, card({ title: "Over time", actions: chart.choice }, chart.node), card({ title: "By whom and for what", actions: grouping }, rows));
  root.append(
    pageHead(title, "Of every environment; up to ten seconds late. Days begin at midnight UTC.", h("div", { class: "actions" }, actions)),
    h("div", { class: "choices" }, ranges, custom.node, chosen),
    numbers,
    card({ title: "Budgets", subtitle: "The fullest first. Keys and teams are changed on the page Keys, models in the configuration." }, budgets),
  );
  await Promise.all([show(), budgetList(budgets, context)]);
}

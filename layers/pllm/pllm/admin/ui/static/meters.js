// How much of something is used: a bar with its words, which say the same to whoever cannot see it.

import { h, svg } from "./dom.js";
import { dateTime, number, percent } from "./format.js";

/** meter({ label, share, text, detail }): share of the whole, 0 to 1 and perhaps above; `text` says how much, `detail` more. */
export function meter({ label, share, text, detail }) {
  const tone = share >= 1 ? "bad" : share >= 0.8 ? "warn" : "good";
  const width = Math.min(100, Math.max(100 * share, share > 0 ? 1 : 0));
  const bar = svg("svg", { class: "bar", viewBox: "0 0 100 6", preserveAspectRatio: "none", "aria-hidden": "true" }, svg("rect", { class: "bar-track", width: 100, height: 6 }), svg("rect", { class: `meter-fill-${tone}`, width, height: 6 }));
  const told = { role: "meter", "aria-label": label, "aria-valuemin": 0, "aria-valuemax": 100, "aria-valuenow": Math.round(Math.min(100, 100 * share)), "aria-valuetext": `${text}, ${percent(share)}` };
  return h("div", { class: "meter" }, h("div", { class: "meter-words" }, h("span", null, text), h("span", { class: "muted" }, percent(share))), h("div", told, bar), detail && h("p", { class: "muted small" }, detail));
}

/** $25.00, $0.0181: two places, and more only where they say something. */
export function money(value) {
  const most = Math.abs(value) >= 0.1 || value === 0 ? 2 : Math.abs(value) >= 0.001 ? 4 : 6;
  return value.toLocaleString("en-US", { style: "currency", currency: "USD", minimumFractionDigits: 2, maximumFractionDigits: most });
}

const PERIODS = { day: "a day", week: "a week", month: "a month", total: "in total" };

/** What a budget is: "$25.00 a month". */
export function budgetWords({ amount_usd: amount, period, timezone }) {
  return `${money(amount)} ${PERIODS[period]}${timezone === "UTC" ? "" : ` (${timezone})`}`;
}

/** The meters of a scope of /api/admin/budgets, the budget first. */
export function quotaMeters(scope) {
  const found = [];
  if (scope.budget) found.push(budgetMeter(scope.budget));
  if (scope.requests) found.push(minuteMeter("Requests this minute", scope.requests));
  if (scope.tokens) found.push(minuteMeter("Tokens this minute", scope.tokens));
  if (scope.parallel) found.push(minuteMeter("Calls in flight", scope.parallel));
  return found;
}

/** A budget's meter. */
export function budgetMeter(budget) {
  const parts = [`${money(budget.remaining_usd)} left`];
  if (budget.reserved_usd > 0) parts.push(`${money(budget.reserved_usd)} held by running requests`);
  if (budget.resets_at) parts.push(`starts anew ${dateTime(budget.resets_at)}`);
  const text = `${money(budget.used_usd)} of ${budgetWords({ ...budget, amount_usd: budget.limit_usd })}`;
  const share = budget.limit_usd ? (budget.used_usd + budget.reserved_usd) / budget.limit_usd : 1;
  return meter({ label: "Budget", share, text, detail: parts.join(" · ") });
}

function minuteMeter(label, quota) {
  return meter({ label, share: quota.percent / 100, text: `${label}: ${number(quota.used)} of ${number(quota.limit)}` });
}

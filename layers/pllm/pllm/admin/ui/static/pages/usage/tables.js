// Usage in numbers: the whole, and by key, team, model or deployment.

import { empty, short, stat, stats, table } from "../../components.js";
import { h } from "../../dom.js";
import { compact, milliseconds, number, percent, usd, usdWhole } from "../../format.js";

export const GROUPS = [
  { id: "model", label: "Model" },
  { id: "key", label: "Key" },
  { id: "team", label: "Team" },
  { id: "deployment", label: "Deployment" },
];

const exact = (value) => short(compact(value), number(value));
const money = (value) => short(usd(value), usdWhole(value));
const tokensOf = (sum) => sum.prompt_tokens + sum.completion_tokens;

export function totals({ whole }) {
  const share = whole.requests ? whole.errors / whole.requests : 0;
  const unpriced = whole.unpriced_requests > 0 && `${number(whole.unpriced_requests)} without a known price`;
  const estimated = whole.estimated_requests > 0 && `${number(whole.estimated_requests)} by our estimate`;
  return stats(
    stat({ label: "Requests", value: exact(whole.requests) }),
    stat({ label: "Failed", value: exact(whole.errors), detail: percent(share), tone: share >= 0.05 ? "bad" : "" }),
    stat({ label: "Tokens", value: exact(tokensOf(whole)), detail: `${compact(whole.prompt_tokens)} in, ${compact(whole.completion_tokens)} out` }),
    stat({ label: "Cost", value: money(whole.cost_usd), detail: unpriced || estimated || null }),
    stat({ label: "p95 latency", value: milliseconds(whole.p95_latency_ms), detail: `p50 ${milliseconds(whole.p50_latency_ms)}` }),
    stat({ label: "First token", value: milliseconds(whole.p50_ttft_ms), detail: `p50; p95 ${milliseconds(whole.p95_ttft_ms)}` }),
  );
}

/** `narrow(value)` is called for the row that is wanted alone. */
export function groupTable({ groups, whole }, group, known, narrow) {
  const label = GROUPS.find((one) => one.id === group).label;
  const columns = [
    { label, header: true, cell: (row) => (row.name ? h("button", { type: "button", class: "link", title: row.name, onclick: () => narrow(row.name) }, known(group, row.name)) : h("span", { class: "muted" }, known(group, ""))) },
    { label: "Requests", align: "end", cell: (row) => number(row.requests) },
    { label: "Failed", align: "end", cell: (row) => (row.errors ? `${number(row.errors)} (${percent(row.errors / row.requests)})` : "0") },
    { label: "Tokens", align: "end", cell: (row) => number(tokensOf(row)) },
    { label: "p50", align: "end", cell: (row) => milliseconds(row.p50_latency_ms) },
    { label: "p95", align: "end", cell: (row) => milliseconds(row.p95_latency_ms) },
    { label: "First token", align: "end", cell: (row) => milliseconds(row.p50_ttft_ms) },
    { label: "Cost", align: "end", cell: (row) => money(row.cost_usd) },
    { label: "Of the cost", align: "end", cell: (row) => (whole.cost_usd ? percent(row.cost_usd / whole.cost_usd) : "–") },
  ];
  return table({ caption: `Usage by ${group}`, columns, rows: groups, key: (row) => row.name, empty: empty("Nothing was used", "No request for a model ended in this time.") });
}

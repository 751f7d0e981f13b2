// Usage over time, one thing at a time.

import { timeSeries } from "../../charts.js";
import { segments } from "../../components.js";
import { h, replace } from "../../dom.js";
import { clock, compact, dateTime, day, milliseconds, usd, utcDay } from "../../format.js";

const METRICS = [
  {
    id: "requests",
    label: "Requests",
    format: compact,
    series: [
      { key: "fine", label: "Answered", tone: 1, of: (sum) => sum.requests - sum.errors },
      { key: "errors", label: "Failed", tone: "bad", of: (sum) => sum.errors },
    ],
  },
  {
    id: "tokens",
    label: "Tokens",
    format: compact,
    series: [
      { key: "prompt", label: "Prompt", tone: 2, of: (sum) => sum.prompt_tokens - sum.cached_tokens },
      { key: "cached", label: "Prompt, cached", tone: 4, of: (sum) => sum.cached_tokens },
      { key: "completion", label: "Answer", tone: 1, of: (sum) => sum.completion_tokens },
    ],
  },
  { id: "cost", label: "Cost", format: usd, series: [{ key: "cost", label: "Cost", tone: 3, of: (sum) => sum.cost_usd }] },
  {
    id: "latency",
    label: "Latency",
    format: milliseconds,
    kind: "lines",
    series: [
      { key: "first", label: "First token, p50", tone: 4, of: (sum) => sum.p50_ttft_ms },
      { key: "p50", label: "p50", tone: 2, of: (sum) => sum.p50_latency_ms },
      { key: "p95", label: "p95", tone: 3, of: (sum) => sum.p95_latency_ms },
      { key: "p99", label: "p99", tone: 1, of: (sum) => sum.p99_latency_ms },
    ],
  },
];

const TIMES = {
  minute: { time: (at) => clock(at), axis: (at) => clock(at) },
  hour: { time: dateTime, axis: (at, long) => (long ? day(at) : clock(at)) },
  day: { time: (at) => `${utcDay(at)} (UTC)`, axis: utcDay },
};

/** -> { node, choice, show(found) } */
export function usageChart() {
  const node = h("div", null);
  let metric = METRICS[0];
  let found = null;
  const choice = segments({ label: "What is drawn", items: METRICS, selected: metric.id, onchange: (id) => ((metric = METRICS.find((one) => one.id === id)), draw()) });

  function draw() {
    if (!found) return;
    const { time, axis } = TIMES[found.period];
    const long = found.points.length > 48;
    const chart = timeSeries({ title: metric.label, series: metric.series, format: metric.format, kind: metric.kind ?? "bars", time, axis: (at) => axis(at, long) });
    replace(node, chart.node);
    chart.show(found.points.map((point) => ({ at: point.at, values: Object.fromEntries(metric.series.map((one) => [one.key, one.of(point)])) })));
  }

  return { node, choice, show: (wanted) => ((found = wanted), draw()) };
}

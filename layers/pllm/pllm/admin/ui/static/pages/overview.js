// Overview: what the gateway does now, and how that came about.

import { card, failure, pageHead, skeleton, stat, stats } from "../components.js";
import { h, update } from "../dom.js";
import { compact, number, usd } from "../format.js";
import { live } from "../live.js";

export const title = "Overview";

export async function render(root, context) {
  const tiles = h("div", null, skeleton(1, { tall: true }));
  const updates = live(context, async () => {
    const page = await context.api.get("/v1/admin/models/stats");
    update(tiles, totals(page));
  });
  root.append(pageHead(title, "What the gateway does, across every environment", updates.controls), tiles);
  await updates.ready;
}

function totals(page) {
  return stats(
    stat({ label: "Requests", value: compact(page.total_requests) }),
    stat({ label: "Tokens", value: compact(page.total_tokens) }),
    stat({ label: "Cost", value: usd(page.total_cost) }),
    stat({ label: "Active callers", value: number(page.active_users) }),
  );
}

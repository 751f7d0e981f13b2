// One message of a conversation: what was said, as text, and for an answer what it took and how it ended.

import { badge, button, copied } from "../../components.js";
import { h, replace } from "../../dom.js";
import { milliseconds, number, usdWhole } from "../../format.js";

const ENDS = { length: "cut off at the most tokens", content_filter: "cut off by a content filter", tool_calls: "it wants to call a tool" };

/** { node, text, told(text), add(piece, thinking), started(facts), ended(told), refused(error),
 * offer(button) } */
export function message(role, name) {
  const who = h("span", { class: "chat-who" }, name);
  const state = h("span", null, role === "assistant" && badge("waiting", "quiet"));
  const text = h("div", { class: "chat-text" });
  const thoughts = h("div", { class: "chat-text muted" });
  const thinking = h("details", { class: "chat-thinking", hidden: true }, h("summary", null, "Thinking"), thoughts);
  const facts = h("div", { class: "chat-facts" });
  const node = h("article", { class: `chat-message chat-${role}`, "aria-label": `${name} said` }, h("header", { class: "chat-head" }, who, state), thinking, text, facts);
  const made = {
    node,
    text: "",
    told(words) {
      made.text = words;
      replace(text, words);
      return made;
    },
    add(piece, isThought) {
      (isThought ? thoughts : text).append(piece);
      if (isThought) thinking.hidden = false;
      else made.text += piece;
    },
    started() {
      replace(state, badge("answering", "info", { plain: true }));
    },
    ended(told) {
      text.normalize();
      replace(state, ending(told));
      replace(facts, told.why && h("p", { class: "problem" }, told.why), factList(told), made.text && copyButton(made));
    },
    offer(again) {
      facts.append(again);
    },
    refused(error) {
      replace(state, badge("refused", "bad"));
      replace(facts, h("p", { class: "problem" }, error.message), h("p", { class: "small muted" }, `Status ${error.status || "none"}${error.code ? `, ${error.code}` : ""}`));
    },
  };
  return made;
}

function copyButton(made) {
  return button("Copy", { icon: "copy", class: "button button-quiet button-small", onclick: () => copied(made.text, "The answer is copied") });
}

function ending(told) {
  if (told.state === "broken") return badge("broken", "bad");
  if (told.state === "stopped") return badge("stopped", "warn");
  return told.finish === "stop" ? badge("finished", "good") : badge(ENDS[told.finish] ?? told.finish, "warn");
}

function factList(told) {
  const { facts, usage } = told;
  const rows = [
    ["Answered by", facts.deployment],
    ["Provider", facts.provider],
    ["Attempts", facts.attempts],
    ["First token", told.firstMs === null ? null : milliseconds(told.firstMs)],
    ["Whole answer", milliseconds(told.totalMs)],
    ["Overhead", facts["overhead-ms"] && milliseconds(Number(facts["overhead-ms"]))],
    ["Tokens", usage && `${number(usage.prompt_tokens)} in, ${number(usage.completion_tokens)} out`],
    ["Cost", cost(told.facts)],
    ["Given-up attempts", facts["abandoned-cost-usd"] && usdWhole(Number(facts["abandoned-cost-usd"]))],
    ["Cache", facts.cache],
    ["Dropped", facts.dropped],
    ["Emulated", facts.emulated],
    ["State", facts.state],
    ["Request", facts.request],
  ];
  return h("dl", { class: "fact-list" }, rows.filter(([, value]) => value).map(([name, value]) => h("div", null, h("dt", null, name), h("dd", null, value))));
}

/** What is charged; at most so much where the provider did not say what it used. */
function cost(facts) {
  if (!facts["cost-usd"]) return null;
  const charged = usdWhole(Number(facts["cost-usd"]));
  return facts.estimated ? `${charged}, estimated` : charged;
}

// Chat: a conversation through the gateway, and what each answer took.

import { button, card, empty, field, form, notice, pageHead } from "../components.js";
import { h, replace } from "../dom.js";
import { message } from "./chat/message.js";
import { ask } from "./chat/stream.js";

export const title = "Chat";

export async function render(root, context) {
  const head = pageHead(title, "Asks as any client does, with your key; what it costs is counted as yours");
  root.append(head);
  if (context.who.role === "viewer") {
    root.append(notice("info", "A viewer may look and call nothing", "To talk to a model, log in with the master key or a key of the role admin."));
    return;
  }
  const models = await chatModels(context.api);
  if (models.length === 0) return root.append(empty("No model to talk to", "This key may use none, or none is configured."));
  root.append(conversation(context, models));
}

async function chatModels(api) {
  const page = await api.get("/v1/models");
  return page.data.filter((model) => !model.mode || model.mode === "chat");
}

function conversation(context, models) {
  const settings = settingsOf(models);
  const log = h("div", { class: "chat-log", role: "region", "aria-label": "Conversation", tabindex: 0 });
  const text = field({ label: "Message", name: "message", type: "textarea", rows: 2, placeholder: "Ask something. Enter sends, Shift and Enter begins a line.", onkeydown: typed });
  const send = h("button", { type: "submit", class: "button button-primary" }, h("span", null, "Send"));
  const stop = button("Stop", { icon: "stop", onclick: () => running?.abort(), hidden: true });
  const anew = button("New conversation", { icon: "plus", tone: "quiet", onclick: begin });
  const composer = form([text], say, h("div", { class: "chat-buttons" }, anew, stop, send));
  composer.classList.add("chat-composer");
  let turns = [];
  let running = null;
  let following = true;

  function begin() {
    running?.abort();
    turns = [];
    replace(log, empty("Nothing said yet", "Choose a model and ask it something."));
    text.input.focus();
  }

  function typed(event) {
    if (event.key !== "Enter" || event.shiftKey || event.isComposing) return;
    event.preventDefault();
    composer.requestSubmit();
  }

  async function say() {
    const said = text.value.trim();
    if (!said || running) return;
    const wrong = settings.problem();
    if (wrong) return;
    if (turns.length === 0) replace(log);
    text.value = "";
    turns.push({ role: "user", content: said });
    log.append(message("user", "You").told(said).node);
    await answer();
  }

  async function answer() {
    const asked = settings.model.value;
    const shown = message("assistant", asked);
    log.append(shown.node);
    bottom(true);
    const mine = (running = new AbortController());
    const conversationThen = turns;
    stop.hidden = false;
    send.disabled = true;
    try {
      const told = await ask(context.api, settings.body(turns), { signal: mine.signal, onStart: shown.started, onText: heard });
      shown.ended(told);
      if (shown.text && told.state !== "broken" && turns === conversationThen) turns.push({ role: "assistant", content: shown.text });
      if (told.state === "broken") shown.offer(againButton(shown));
      context.announce(`The answer is ${told.state}`);
    } catch (error) {
      shown.refused(error);
      shown.offer(againButton(shown));
    } finally {
      if (running === mine) running = null;
      stop.hidden = true;
      send.disabled = false;
      bottom();
    }
    function heard(piece, thinking) {
      shown.add(piece, thinking);
      bottom();
    }
  }

  function againButton(shown) {
    const again = button("Ask again", { icon: "refresh", class: "button button-small", onclick: askAgain });
    function askAgain() {
      if (running || log.lastElementChild !== shown.node) return;
      again.remove();
      answer();
    }
    return again;
  }

  /** Follows the answer, unless somebody has scrolled up to read. */
  function bottom(always = false) {
    following ||= always;
    if (following) log.scrollTop = log.scrollHeight;
  }

  log.addEventListener("scroll", () => (following = log.scrollHeight - log.scrollTop - log.clientHeight < 80));
  context.onLeave(() => running?.abort());
  begin();
  const main = h("div", { class: "card chat-main" }, log, composer);
  return h("div", { class: "chat" }, main, h("aside", { class: "chat-side", "aria-label": "Settings of the conversation" }, settings.node));
}

function settingsOf(models) {
  const label = (model) => ({ value: model.id, label: model.alias_of ? `${model.id} (alias of ${model.alias_of.join(", ")})` : model.id });
  const model = field({ label: "Model", name: "model", type: "select", options: models.map(label) });
  const system = field({ label: "System prompt", name: "system", type: "textarea", rows: 4, placeholder: "You are…" });
  const temperature = field({ label: "Temperature", name: "temperature", type: "number", min: 0, max: 2, step: 0.1, placeholder: "the model's own", hint: "0 to 2" });
  const most = field({ label: "Max tokens", name: "max_tokens", type: "number", min: 1, step: 1, placeholder: "the model's own" });
  const stream = field({ label: "Stream the answer", name: "stream", type: "checkbox", value: true });
  const rest = h("div", { class: "form" }, [system, temperature, most, stream].map((one) => one.node));
  const more = h("details", { class: "chat-more", open: matchMedia("(min-width: 1021px)").matches }, h("summary", null, "Settings"), rest);
  const node = card({}, h("div", { class: "form" }, model.node, more));
  function body(turns) {
    const messages = system.value.trim() ? [{ role: "system", content: system.value.trim() }, ...turns] : turns;
    const asked = { model: model.value, messages, stream: stream.value };
    if (stream.value) asked.stream_options = { include_usage: true };
    if (temperature.value !== null) asked.temperature = temperature.value;
    if (most.value !== null) asked.max_tokens = most.value;
    return asked;
  }
  function problem() {
    const wrong = [temperature, most].find((one) => !one.input.checkValidity());
    if (wrong) wrong.problem(wrong.input.validationMessage);
    return Boolean(wrong);
  }
  return { node, model, body, problem };
}

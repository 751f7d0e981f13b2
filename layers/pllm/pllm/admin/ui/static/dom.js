// Building nodes. Text is only ever text: nothing here, or anywhere else in this page, parses HTML.

const SVG = "http://www.w3.org/2000/svg";
const handlers = new WeakMap();

/**
 * h("a", { href: "#/models", class: "link", onclick: go }, "Models", icon): an element. Attributes: null, undefined and
 * false are left out, true is the empty attribute, on... is an event handler, and value, checked and disabled are properties.
 * Children: nodes, strings, numbers, arrays of them; null, undefined and false are left out.
 */
export function h(tag, attributes, ...children) {
  return built(document.createElement(tag), attributes, children);
}

/** The same for SVG. */
export function svg(tag, attributes, ...children) {
  return built(document.createElementNS(SVG, tag), attributes, children);
}

function built(node, attributes, children) {
  for (const [name, value] of Object.entries(attributes ?? {})) set(node, name, value);
  node.append(...flat(children));
  if (node.localName === "select" && attributes?.value !== undefined) node.value = attributes.value;
  return node;
}

function set(node, name, value) {
  if (name.startsWith("on")) {
    handlers.set(node, { ...handlers.get(node), [name]: value });
    node[name] = value;
  } else if (name === "value" && "value" in node && node.localName !== "li") {
    node.value = value ?? "";
  } else if (name === "checked" || name === "disabled" || name === "selected" || name === "open") {
    node[name] = Boolean(value);
  } else if (value !== null && value !== undefined && value !== false) {
    node.setAttribute(name, value === true ? "" : String(value));
  }
}

function flat(children) {
  const kept = children.flat(Infinity).filter((child) => child !== null && child !== undefined && child !== false);
  return kept.map((child) => (child instanceof Node ? child : document.createTextNode(String(child))));
}

/** Takes out what was in a node and puts children in. */
export function replace(node, ...children) {
  node.replaceChildren(...flat(children));
  return node;
}

/**
 * Makes a node's content look like these children while it keeps the nodes that are there, and with them focus, scrolling
 * and open details. For what is shown again and again. Event handlers are those of the new children, so they must not hold on
 * to nodes: not for forms. Siblings with data-key are matched by it, others by their place.
 */
export function update(node, ...children) {
  morphChildren(node, flat(children));
  return node;
}

function morphChildren(node, wanted) {
  const keyed = new Map();
  for (const child of node.childNodes) if (child.dataset?.key !== undefined) keyed.set(child.dataset.key, child);
  let place = node.firstChild;
  for (const child of wanted) {
    const key = child.dataset?.key;
    const known = key !== undefined ? keyed.get(key) : place?.dataset?.key === undefined ? place : null;
    if (known && known.nodeName === child.nodeName) {
      if (known === place) place = place.nextSibling;
      else node.insertBefore(known, place);
      morph(known, child);
    } else {
      node.insertBefore(child, place);
    }
  }
  while (place) {
    const next = place.nextSibling;
    place.remove();
    place = next;
  }
}

function morph(node, wanted) {
  if (node.nodeType !== Node.ELEMENT_NODE) {
    if (node.data !== wanted.data) node.data = wanted.data;
    return;
  }
  for (const { name } of [...node.attributes]) {
    if (!wanted.hasAttribute(name) && !(name === "open" && node.localName === "details")) node.removeAttribute(name);
  }
  for (const { name, value } of wanted.attributes) if (node.getAttribute(name) !== value) node.setAttribute(name, value);
  const before = handlers.get(node) ?? {};
  const after = handlers.get(wanted) ?? {};
  for (const name of Object.keys(before)) if (!(name in after)) node[name] = null;
  Object.assign(node, after);
  handlers.set(node, after);
  morphChildren(node, [...wanted.childNodes]);
}

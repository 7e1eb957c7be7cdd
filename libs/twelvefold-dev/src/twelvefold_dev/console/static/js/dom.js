// Builds elements. Text is never parsed as markup, which the page's policy also forbids.

const SVG = "http://www.w3.org/2000/svg";
const OPENABLE = /^(?:\/(?!\/)|#|https?:\/\/)/;

export function h(tag, props, ...children) {
  return build(document.createElement(tag), props, children);
}

export function svg(tag, props, ...children) {
  return build(document.createElementNS(SVG, tag), props, children);
}

function build(node, props, children) {
  for (const [name, value] of Object.entries(props ?? {})) {
    if (value === null || value === undefined || value === false) continue;
    if (name.startsWith("on")) node.addEventListener(name.slice(2), value);
    else if (name === "style") for (const [key, of] of Object.entries(value)) node.style.setProperty(key, of);
    else if (name === "data") Object.assign(node.dataset, value);
    else if ((name === "href" || name === "src") && !OPENABLE.test(value)) continue;
    else node.setAttribute(name, value === true ? "" : String(value));
  }
  return add(node, children);
}

function add(node, children) {
  for (const child of children.flat(Infinity)) {
    if (child !== null && child !== undefined && child !== false) node.append(child);
  }
  return node;
}

export function fill(node, ...children) {
  node.replaceChildren();
  return add(node, children);
}

// Updates the children of `parent` to `items` and keeps unchanged ones, so that focus, selection and
// scroll position stay.
const rendered = new WeakMap();

export function keyed(parent, items, key, create) {
  const before = rendered.get(parent) ?? new Map();
  const after = new Map();
  let place = parent.firstChild;
  for (const item of items) {
    const name = key(item);
    if (after.has(name)) continue;
    const form = JSON.stringify(item);
    const known = before.get(name);
    let node = known?.node;
    if (known?.form !== form) {
      const held = node?.contains(document.activeElement);
      if (node === place) place = place?.nextSibling ?? null;
      node?.remove();
      node = create(item);
      if (held) queueMicrotask(() => focusable(node)?.focus({ preventScroll: true }));
    }
    if (node === place) place = place.nextSibling;
    else parent.insertBefore(node, place);
    after.set(name, { node, form });
  }
  for (const [name, { node }] of before) if (!after.has(name)) node.remove();
  rendered.set(parent, after);
}

function focusable(node) {
  return node.matches?.("a, button, [tabindex]") ? node : node.querySelector("a, button, [tabindex]");
}

// Updates a list, or shows the text `nothing` where it is empty.
export function fillList(parent, items, key, create, nothing) {
  parent.parentElement?.querySelector(":scope > .nothing")?.remove();
  keyed(parent, items, key, create);
  if (!items.length && nothing) parent.after(h("p", { class: "nothing" }, nothing));
}

// Lists stay as they are while they are being read: with the pointer or the focus in them, or
// scrolled into.

const top = document.querySelector(".top");
const held = new WeakMap(); // the update that waits for each list

// Whether the pointer or the focus is in the list.
export function isInUse(list) {
  return list.matches(":hover, :focus-within");
}

export function isBeingRead(list) {
  return isInUse(list) || list.getBoundingClientRect().top < top.offsetHeight;
}

// Runs `update` of a short list at once, or when the pointer and the focus have left it. A later
// update replaces one that waits.
export function updateUnread(list, update) {
  if (!held.has(list)) onLeave(list, run);
  held.set(list, update);
  run();

  function run() {
    if (isInUse(list)) return;
    held.get(list)?.();
    held.set(list, null);
  }
}

// Calls `act` when the pointer or the focus has left the list.
export function onLeave(list, act) {
  for (const name of ["pointerleave", "focusout"]) list.addEventListener(name, () => setTimeout(act));
}

// A reason opens in place by click, touch or Enter; while the mouse or the focus is on it, it also floats beside it.
const floating = document.createElement("div");
floating.id = "floating";
floating.setAttribute("role", "tooltip");
floating.hidden = true;
document.body.append(floating);

const hideTip = () => {
  floating.hidden = true;
  document.querySelector("[aria-describedby=floating]")?.removeAttribute("aria-describedby");
};
const showTip = (event) => {
  const summary = event.target.closest?.(".tip > summary");
  if (!summary) return;
  hideTip();
  if (summary.parentElement.open) return;
  floating.textContent = summary.nextElementSibling.textContent;
  floating.hidden = false;
  summary.setAttribute("aria-describedby", "floating");
  const at = summary.getBoundingClientRect();
  const own = floating.getBoundingClientRect();
  const left = Math.max(8, Math.min(at.left, document.documentElement.clientWidth - own.width - 8));
  const above = at.bottom + own.height + 8 > innerHeight;
  floating.style.left = `${left}px`;
  floating.style.top = `${above ? Math.max(8, at.top - own.height - 6) : at.bottom + 6}px`;
};
document.addEventListener("mouseover", showTip);
document.addEventListener("focusin", showTip);
document.addEventListener("mouseout", (event) => event.target.closest?.(".tip > summary") && hideTip());
document.addEventListener("focusout", hideTip);
document.addEventListener("click", hideTip);
document.addEventListener("scroll", hideTip, { capture: true, passive: true });
document.addEventListener("keydown", (event) => event.key === "Escape" && hideTip());

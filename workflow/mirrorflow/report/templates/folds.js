// Whoever follows a link into a fold finds it open; whoever prints finds them all open,
// but for the reasons of verdicts: their numbers stand in the long table.
const openTo = () => {
  const target = location.hash.length > 1 && document.getElementById(decodeURIComponent(location.hash.slice(1)));
  if (!target) return;
  const inside = target.querySelector(":scope > details.fold");
  if (inside) inside.open = true;
  for (let fold = target.closest("details"); fold; fold = fold.parentElement.closest("details")) fold.open = true;
  target.scrollIntoView();
};
addEventListener("hashchange", openTo);
document.addEventListener("click", (event) => event.target.closest?.('a[href^="#"]')?.hash === location.hash && openTo());
openTo();

let closed = [];
addEventListener("beforeprint", () => {
  closed = [...document.querySelectorAll("details:not([open], .tip:has(.badge))")];
  closed.forEach((fold) => (fold.open = true));
});
addEventListener("afterprint", () => closed.forEach((fold) => (fold.open = false)));

// The bar says where one is.
const links = new Map([...document.querySelectorAll(".bar a")].map((link) => [link.hash.slice(1), link]));
const seen = new IntersectionObserver(
  (entries) => {
    for (const entry of entries) {
      if (!entry.isIntersecting) continue;
      links.forEach((link) => link.removeAttribute("aria-current"));
      const link = links.get(entry.target.id);
      link?.setAttribute("aria-current", "true");
      if (link) link.closest(".bar").scrollLeft = link.offsetLeft - 40; // a phone's bar is longer than its screen
    }
  },
  { rootMargin: "-15% 0px -80% 0px" },
);
document.querySelectorAll("section.chapter").forEach((chapter) => seen.observe(chapter));

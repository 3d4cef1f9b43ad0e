// What a reader would trip over on a page, as lists of sentences: empty where all is well.
(() => {
  const short = (node) => node.textContent.trim().replace(/\s+/g, " ").slice(0, 50);
  const shown = (node) => node.checkVisibility({ visibilityProperty: true, contentVisibilityAuto: true });
  const visible = (selector) => [...document.querySelectorAll(selector)].filter(shown);
  const clipped = (node) => getComputedStyle(node).clipPath !== "none";

  // The box that an element's own words and pictures fill, without the element's padding.
  const filled = (node) => {
    const range = document.createRange();
    range.selectNodeContents(node);
    return range.getBoundingClientRect();
  };

  // Elements beyond the window's right edge that no box of their own scrolls.
  const cutOff = () => {
    const width = document.documentElement.clientWidth;
    const scrolled = (node) => node.closest(".scroll, .bar, pre, caption, .skip, #floating");
    const outside = visible("body *").filter((node) => !scrolled(node) && !clipped(node));
    return outside
      .filter((node) => node.getBoundingClientRect().right > width + 1)
      .map((node) => `${node.tagName} reaches ${Math.round(node.getBoundingClientRect().right)} of ${width}: ${short(node)}`);
  };

  // Words that run out of their own cell into the next.
  const spilled = () =>
    visible("td, th")
      .filter((cell) => cell.scrollWidth > cell.clientWidth + 1)
      .map((cell) => `a cell's words run out of it: ${short(cell)}`);

  // Captions, titles, headings and paragraphs whose words lie on each other.
  const overlapping = () => {
    const boxes = visible("figcaption, .figure-title, h1, h2, h3, h4, main p, dd, dt, summary, figure img, .scroll")
      .filter((node) => !clipped(node) && short(node) + (node.tagName === "IMG" ? "i" : ""))
      .map((node) => [node, node.matches("img, .scroll") ? node.getBoundingClientRect() : filled(node)]);
    boxes.sort(([, one], [, other]) => one.top - other.top);
    const found = [];
    for (let i = 0; i < boxes.length; i += 1) {
      const [node, one] = boxes[i];
      for (let j = i + 1; j < boxes.length && boxes[j][1].top < one.bottom - 1; j += 1) {
        const [next, other] = boxes[j];
        const beside = other.left > one.right - 1 || other.right < one.left + 1;
        const nested = node.contains(next) || next.contains(node) || next.closest(".scroll, td, th") || node.closest("td, th");
        if (!beside && !nested) found.push(`"${short(node) || node.alt}" lies on "${short(next) || next.alt}"`);
      }
    }
    return found;
  };

  // Columns that a table's box hides at its right edge.
  const hidden = (selector, name) => {
    const found = [];
    for (const table of visible(selector)) {
      const box = table.closest(".scroll").getBoundingClientRect();
      const heads = [...table.tHead.rows[0].cells].filter((head) => head.textContent.trim() === name);
      if (!heads.length || heads.some((head) => head.getBoundingClientRect().right > box.right + 1)) {
        found.push(`column ${name} is not to be seen`);
      }
    }
    return found;
  };

  // Tables that their boxes do not show whole.
  const wide = () =>
    visible(".scroll")
      .filter((box) => box.scrollWidth > box.clientWidth + 1)
      .map((box) => `${box.scrollWidth} of ${box.clientWidth}: ${box.ariaLabel}`);

  const channels = (colour) => colour.match(/[\d.]+/g).map(Number);
  const luminance = (colour) => {
    const [r, g, b] = channels(colour).map((value) => value / 255)
      .map((value) => (value <= 0.04045 ? value / 12.92 : ((value + 0.055) / 1.055) ** 2.4));
    return 0.2126 * r + 0.7152 * g + 0.0722 * b;
  };
  const ground = (node) => {
    for (let one = node; one; one = one.parentElement) {
      const colour = getComputedStyle(one).backgroundColor;
      if (colour !== "transparent" && (channels(colour)[3] ?? 1) === 1) return colour;
    }
    return matchMedia("(prefers-color-scheme: dark)").matches ? "rgb(18, 18, 18)" : "rgb(255, 255, 255)";
  };

  // Words of less contrast than WCAG's 4.5 to 1, one of each pair of colours.
  const faint = () => {
    const pairs = new Map();
    for (const node of visible("body *")) {
      const own = [...node.childNodes].some((child) => child.nodeType === 3 && child.data.trim());
      if (own && !clipped(node)) pairs.set(`${getComputedStyle(node).color} on ${ground(node)}`, node);
    }
    return [...pairs].flatMap(([pair, node]) => {
      const [light, dark] = pair.split(" on ").map(luminance).sort((one, other) => other - one);
      const ratio = (light + 0.05) / (dark + 0.05);
      return ratio < 4.5 ? [`${ratio.toFixed(2)}: ${pair}: ${short(node)}`] : [];
    });
  };

  // What a screen reader needs: landmarks, one first heading, no level left out, names of pictures, tables and folds.
  const unnamed = () => {
    const found = [];
    const one = (selector) => document.querySelectorAll(selector).length === 1 || found.push(`not one ${selector}`);
    ["h1", "main", "header", "footer"].forEach(one);
    if (!document.documentElement.lang) found.push("no language");
    if ([...document.querySelectorAll("nav")].some((nav) => !nav.ariaLabel) || !document.querySelector("nav")) {
      found.push("a nav without a name, or none");
    }
    let level = 0;
    for (const heading of document.querySelectorAll("h1, h2, h3, h4, h5, h6")) {
      const own = Number(heading.tagName[1]);
      if (own > level + 1) found.push(`h${own} below h${level}: ${short(heading)}`);
      level = own;
    }
    for (const image of document.images) if (!image.alt.trim()) found.push(`no alt: ${image.src.slice(0, 40)}`);
    for (const table of document.querySelectorAll("table")) {
      if (!table.caption?.textContent.trim()) found.push(`no caption: ${short(table)}`);
      if (table.querySelector("thead th:not([scope=col]), tbody th:not([scope=row]), tbody tr > td:first-child")) {
        found.push(`a head without scope: ${short(table)}`);
      }
    }
    for (const box of document.querySelectorAll(".scroll")) {
      if (box.tabIndex !== 0 || !box.ariaLabel) found.push(`a box that the keyboard does not scroll: ${short(box)}`);
    }
    return found;
  };

  // Images that do not draw.
  const broken = () => [...document.images].filter((image) => image.complete && !image.naturalWidth).map((image) => image.alt);

  return { cutOff, spilled, overlapping, hidden, wide, faint, unnamed, broken };
})()

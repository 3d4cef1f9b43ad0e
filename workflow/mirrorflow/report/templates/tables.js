"use strict";
// Tables of some length: rows by a column, rows with words, rows of a chosen value. Without scripts all rows stay.
const keyOf = (cell) => {
  const own = cell.cloneNode(true);
  own.querySelectorAll("small, .mark, .tip > span").forEach((part) => part.remove());
  return own.textContent.trim() || (own.querySelector("img")?.alt ?? "");
};
const numberOf = (text) => {
  const found = /^[\[<]?\s*([+\u2212-]?[\d,]*\.?\d+(?:e[+-]?\d+)?)(?=$|[\s%\]±,;(\[])/i.exec(text);
  return found ? Number(found[1].replaceAll(",", "").replace("\u2212", "-")) : NaN;
};
const compared = (one, other, numeric) =>
  numeric ? numberOf(one) - numberOf(other) : one.localeCompare(other, "en", { numeric: true });

const sortRows = (body, rows, column, direction) => {
  const keyed = rows.map((row) => [row, row.cells[column] ? keyOf(row.cells[column]) : ""]);
  const filled = keyed.filter(([, key]) => key !== "");
  const numeric = filled.every(([, key]) => !Number.isNaN(numberOf(key)));
  filled.sort(([, one], [, other]) => direction * compared(one, other, numeric));
  body.append(...filled.map(([row]) => row), ...keyed.filter(([, key]) => key === "").map(([row]) => row));
};

// A column's head is a button: upwards, downwards, as it was.
const makeSortable = (table) => {
  const [body] = table.tBodies;
  const rows = [...body.rows];
  const heads = [...table.tHead.rows[0].cells];
  const order = { ascending: "descending", descending: "none", none: "ascending" };
  for (const [column, head] of heads.entries()) {
    const button = document.createElement("button");
    button.type = "button";
    button.append(...head.childNodes);
    head.append(button);
    head.setAttribute("aria-sort", "none");
    button.addEventListener("click", () => {
      const next = order[head.getAttribute("aria-sort")];
      heads.forEach((one) => one.setAttribute("aria-sort", "none"));
      head.setAttribute("aria-sort", next);
      if (next === "none") body.append(...rows);
      else sortRows(body, rows, column, next === "ascending" ? 1 : -1);
    });
  }
};

const makeChoice = (head, rows, apply) => {
  const column = head.cellIndex;
  const values = [...new Set(rows.map((row) => keyOf(row.cells[column])))].filter(Boolean);
  if (values.length < 2) return null;
  values.sort((one, other) => compared(one, other, false));
  const label = document.createElement("label");
  const select = document.createElement("select");
  select.append(new Option("all", ""), ...values.map((value) => new Option(value)));
  select.addEventListener("change", apply);
  label.append(`${head.textContent.trim()} `, select);
  return { label, fits: (row) => !select.value || keyOf(row.cells[column]) === select.value };
};

// A search field: a row stays when it holds every word, and has the chosen values.
const makeFilter = (table) => {
  const field = table.closest("figure").querySelector(".filter");
  const said = field.querySelector("output");
  const input = field.querySelector("input");
  const rows = [...table.tBodies[0].rows];
  const texts = new Map(rows.map((row) => [row, row.textContent.toLowerCase()]));
  let choices = [];
  const apply = () => {
    const words = input.value.toLowerCase().split(/\s+/).filter(Boolean);
    let shown = 0;
    for (const row of rows) {
      row.hidden = !(words.every((word) => texts.get(row).includes(word)) && choices.every((one) => one.fits(row)));
      shown += row.hidden ? 0 : 1;
    }
    said.textContent = `${shown} of ${rows.length} rows`;
  };
  choices = [...table.querySelectorAll("th[data-choice]")].map((head) => makeChoice(head, rows, apply)).filter(Boolean);
  choices.forEach((one) => said.before(one.label));
  field.hidden = false;
  input.addEventListener("input", apply);
  apply();
};

for (const table of document.querySelectorAll("table[data-filter]")) makeFilter(table);
for (const table of document.querySelectorAll("table")) {
  if (table.tBodies[0]?.rows.length > 2 && !table.closest(".cards")) makeSortable(table);
}

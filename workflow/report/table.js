// A table that sorts, filters and pages in the browser. Columns arrive one by one: numbers as they
// are (null for no value), text as a list of its distinct values and an index into it for each row.
const ROWS_PER_PAGE = 100;
const CHOICES = 40; // a text column with at most so many distinct values gets a menu
const element = (id) => document.getElementById(id);
let table, columns;
const state = { order: null, descending: false, page: 0, rows: [] };

function make(tag, properties, ...children) {
  const made = Object.assign(document.createElement(tag), properties);
  made.append(...children);
  return made;
}

function value(column, row) {
  const stored = column.values[row];
  return column.words ? column.words[stored] : stored;
}

function shown(column, row) {
  const found = value(column, row);
  if (found === null) return "–";
  if (column.words) return found || "–";
  return rounded(found);
}

function rounded(number) {
  if (Number.isInteger(number)) return String(number);
  const size = Math.abs(number);
  if (size < 0.001 || size >= 1e6) return number.toExponential(2);
  return size < 10 ? number.toFixed(3) : number.toPrecision(5);
}

// Return a test of one row for what was typed over a column, or null when that is empty.
function condition(column, text) {
  text = text.trim();
  if (!text) return null;
  if (column.input.tagName === "SELECT") return (row) => column.values[row] === Number(text);
  if (column.words) {
    const part = text.toLowerCase();
    const hits = column.words.map((word) => word.toLowerCase().includes(part));
    return (row) => hits[column.values[row]];
  }
  const between = text.match(/^(\S+?)\s*\.\.\s*(\S+)$/);
  if (between) {
    const [low, high] = [Number(between[1]), Number(between[2])];
    return (row) => column.values[row] !== null && column.values[row] >= low && column.values[row] <= high;
  }
  const [, sign, rest] = text.match(/^(<=|>=|<|>|=)?\s*(.*)$/);
  if (rest === "–" || rest === "nan") return (row) => column.values[row] === null;
  const limit = Number(rest);
  const compare = {
    "<": (x) => x < limit, "<=": (x) => x <= limit, ">": (x) => x > limit, ">=": (x) => x >= limit,
  }[sign] || ((x) => x === limit || rounded(x) === rest);
  return (row) => column.values[row] !== null && compare(column.values[row]);
}

function matches(search) {
  const part = search.trim().toLowerCase();
  if (!part) return null;
  const hits = columns.map((column) =>
    column.words && column.words.map((word) => word.toLowerCase().includes(part)));
  return (row) => columns.some((column, i) =>
    hits[i] ? hits[i][column.values[row]] : shown(column, row).includes(part));
}

function select() {
  const tests = [matches(element("search").value)];
  columns.forEach((column) => tests.push(condition(column, column.input.value)));
  const active = tests.filter((test) => test);
  state.rows = [];
  for (let row = 0; row < table.length; row++) {
    if (active.every((test) => test(row))) state.rows.push(row);
  }
  if (state.order) state.rows.sort(comparison(state.order, state.descending ? -1 : 1));
  state.page = 0;
  draw();
}

// Return the indices of words in the order of a dictionary, step9 before step10.
function alphabetic(words) {
  return [...words.keys()].sort((a, b) =>
    words[a].localeCompare(words[b], "en", { numeric: true }));
}

// Rows without a value come last in either direction; equal rows keep the table's order.
function comparison(column, sign) {
  let keys = column.values;
  if (column.words) {
    const rank = [];
    alphabetic(column.words).forEach((word, position) => { rank[word] = position; });
    keys = column.values.map((word) => rank[word]);
  }
  return (a, b) => {
    if (keys[a] === null || keys[b] === null) {
      return (keys[a] === null) - (keys[b] === null) || a - b;
    }
    return sign * (keys[a] - keys[b]) || a - b;
  };
}

function draw() {
  const pages = Math.max(1, Math.ceil(state.rows.length / ROWS_PER_PAGE));
  const first = state.page * ROWS_PER_PAGE;
  const window = state.rows.slice(first, first + ROWS_PER_PAGE);
  document.querySelector("tbody").replaceChildren(...window.map((row) => make("tr", {},
    ...columns.map((column) => {
      const found = value(column, row);
      const full = found === null ? "no value" : String(found);
      return make("td", { className: column.words ? "" : "number", title: full }, shown(column, row));
    }))));
  const number = (n) => n.toLocaleString("en");
  const all = state.rows.length === table.length ? "" : ` of ${number(table.length)}`;
  element("count").textContent = `${number(state.rows.length)}${all} rows`;
  element("page").textContent = `page ${number(state.page + 1)} of ${number(pages)}`;
  element("previous").disabled = state.page === 0;
  element("next").disabled = state.page >= pages - 1;
  columns.forEach((column) => {
    const here = column === state.order;
    const direction = state.descending ? "descending" : "ascending";
    column.head.setAttribute("aria-sort", here ? direction : "none");
    column.button.textContent = column.name + (here ? (state.descending ? " ▼" : " ▲") : "");
  });
}

function sortBy(column) {
  state.descending = state.order === column && !state.descending;
  state.order = column;
  select();
}

function csv() {
  const cell = (found) => {
    const text = found === null ? "" : String(found);
    return /[",\n]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text;
  };
  const lines = [columns.map((column) => cell(column.name)).join(",")];
  state.rows.forEach((row) => {
    lines.push(columns.map((column) => cell(value(column, row))).join(","));
  });
  return lines.join("\n") + "\n";
}

function download() {
  const url = URL.createObjectURL(new Blob([csv()], { type: "text/csv" }));
  make("a", { href: url, download: `${table.name}.csv` }).click();
  setTimeout(() => URL.revokeObjectURL(url), 1000);
}

function unpack(text) {
  const bytes = Uint8Array.from(atob(text), (character) => character.charCodeAt(0));
  const stream = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("gzip"));
  return new Response(stream).json();
}

function start(content) {
  table = content;
  columns = table.columns;
  const names = make("tr", {});
  const filters = make("tr", {});
  columns.forEach((column) => {
    column.button = make("button", { type: "button", title: column.help, textContent: column.name });
    column.button.addEventListener("click", () => sortBy(column));
    column.head = make("th", { scope: "col" }, column.button);
    const label = `filter ${column.name}`;
    if (column.words && column.words.length <= CHOICES) {
      column.input = make("select", { ariaLabel: label }, make("option", { value: "" }, "all"),
        ...alphabetic(column.words).map((i) => make("option", { value: i }, column.words[i] || "–")));
    } else {
      column.input = make("input", { type: "search", ariaLabel: label });
    }
    column.input.addEventListener("input", select);
    names.append(column.head);
    filters.append(make("th", {}, column.input));
  });
  document.querySelector("thead").append(names, filters);
  element("search").addEventListener("input", select);
  element("clear").addEventListener("click", () => {
    [element("search"), ...columns.map((column) => column.input)].forEach((i) => { i.value = ""; });
    select();
  });
  element("previous").addEventListener("click", () => { state.page -= 1; draw(); });
  element("next").addEventListener("click", () => { state.page += 1; draw(); });
  element("download").addEventListener("click", download);
  select();
}

unpack(element("data").textContent).then(start).catch((error) => {
  element("count").textContent = `this browser cannot show the table (${error})`;
});

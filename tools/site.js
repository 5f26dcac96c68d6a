// Gives every cell of a table the name of its column, which site.css shows on a phone, where a row is a list.
"use strict";

for (const table of document.querySelectorAll(".content table")) {
  const columns = [...table.querySelectorAll("thead th")].map((head) => head.textContent.trim());
  for (const row of table.querySelectorAll("tbody tr")) {
    [...row.cells].forEach((cell, column) => {
      if (column > 0 && columns[column]) {
        cell.dataset.column = columns[column];
      }
    });
  }
}

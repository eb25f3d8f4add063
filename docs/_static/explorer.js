// An explorer: filters by choices and words, sorts by a column, unfolds a row.
addEventListener("DOMContentLoaded", () => {
    for (const explorer of document.querySelectorAll(".explorer")) {
        const form = explorer.querySelector("form");
        const table = explorer.querySelector("table");
        const rows = [...table.tBodies];

        const filter = () => {
            const { text, ...choices } = Object.fromEntries(new FormData(form));
            const words = text.toLowerCase().split(/\s+/);
            let count = 0;
            for (const row of rows) {
                const content = row.rows[0].textContent.toLowerCase();
                row.hidden =
                    !Object.entries(choices).every(([name, value]) => !value || row.dataset[name] === value) ||
                    !words.every((word) => content.includes(word));
                count += !row.hidden;
            }
            form.querySelector("output").textContent = `${count} of ${rows.length}`;
        };

        const digits = "⁰¹²³⁴⁵⁶⁷⁸⁹";
        const power = (_, shown) => "e" + [...shown].map((sign) => (sign === "⁻" ? "-" : digits.indexOf(sign))).join("");
        const number = (text) =>
            parseFloat(text.replace("−", "-").replace(/\s/g, "").replace(/×10([⁻⁰¹²³⁴⁵⁶⁷⁸⁹]+)/, power));
        const sort = (column) => {
            const cell = (row) => row.rows[0].cells[column].textContent;
            const before = table.dataset.sorted === String(column) ? -1 : 1;
            rows.sort((a, b) => {
                const numeric = number(cell(a)) - number(cell(b));
                return before * (Number.isNaN(numeric) ? cell(a).localeCompare(cell(b)) : numeric);
            });
            table.dataset.sorted = before === 1 ? column : "";
            table.append(...rows);
        };

        form.addEventListener("input", filter);
        form.addEventListener("submit", (event) => event.preventDefault());
        [...table.tHead.rows[0].cells].forEach((cell, column) => cell.addEventListener("click", () => sort(column)));
        table.addEventListener("click", (event) => {
            const button = event.target.closest("button[aria-expanded]");
            if (!button) return;
            const more = button.closest("tbody").rows[1];
            more.hidden = !more.hidden;
            button.setAttribute("aria-expanded", String(!more.hidden));
        });
        filter();
    }
});

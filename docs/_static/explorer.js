// The claims explorer: filters by choices and words, sorts by a column, unfolds a row.
addEventListener("DOMContentLoaded", () => {
    for (const explorer of document.querySelectorAll(".explorer")) {
        const form = explorer.querySelector("form");
        const table = explorer.querySelector("table");
        const claims = [...table.tBodies];

        const filter = () => {
            const { text, ...choices } = Object.fromEntries(new FormData(form));
            const words = text.toLowerCase().split(/\s+/);
            let count = 0;
            for (const claim of claims) {
                const content = claim.rows[0].textContent.toLowerCase();
                claim.hidden =
                    !Object.entries(choices).every(([name, value]) => !value || claim.dataset[name] === value) ||
                    !words.every((word) => content.includes(word));
                count += !claim.hidden;
            }
            form.querySelector("output").textContent = `${count} of ${claims.length}`;
        };

        const number = (text) => parseFloat(text.replace("−", "-").replace(/\s/g, ""));
        const sort = (column) => {
            const cell = (claim) => claim.rows[0].cells[column].textContent;
            const before = table.dataset.sorted === String(column) ? -1 : 1;
            claims.sort((a, b) => {
                const numeric = number(cell(a)) - number(cell(b));
                return before * (Number.isNaN(numeric) ? cell(a).localeCompare(cell(b)) : numeric);
            });
            table.dataset.sorted = before === 1 ? column : "";
            table.append(...claims);
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

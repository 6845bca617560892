"""Figures and the page of `smart report`.

- report_explain: the report's worst errors explained, where the model and the data set are at hand
- report_figures: the figures of `smart report`: one checkpoint's, and the one over all of them
- report_page: `smart report`: figures as PNG and SVG, and one self-contained HTML page
- report_sections: parts of the report's page: the dev table, and what is said of one checkpoint
"""

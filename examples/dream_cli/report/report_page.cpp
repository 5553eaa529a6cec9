#include "report_page.hpp"

#include "report_style.hpp"
#include "report_tables.hpp"

namespace dream_cli::study_report {

std::string ReportPage::html() const {
  std::string contents, body;
  for (const PageSection& section : sections) {
    contents += "<li><a href=\"#" + section.id + "\">" + escaped(section.title) + "</a></li>\n";
    body += "<section id=\"" + section.id + "\" aria-labelledby=\"" + section.id + "-title\">\n<h2 id=\"" + section.id +
            "-title\">" + escaped(section.title) + "</h2>\n" + section.html + "</section>\n";
  }
  return "<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n"
         "<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n"
         "<meta name=\"color-scheme\" content=\"light dark\">\n<title>" +
         escaped(title) + "</title>\n<style>" + report_style + "</style>\n</head>\n<body>\n<header>\n<h1>" +
         escaped(title) + "</h1>\n<p class=\"lead\">" + lead +
         "</p>\n</header>\n<nav aria-label=\"Contents\">\n<ol>\n" + contents + "</ol>\n</nav>\n<main>\n" + body +
         "</main>\n<footer>Written by <code>dream report</code>. The numbers of every table and chart are also in the "
         "study\u2019s folder, in <code>tables</code>.</footer>\n</body>\n</html>\n";
}

}  // namespace dream_cli::study_report

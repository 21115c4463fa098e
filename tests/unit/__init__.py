"""Value modules: tables of cases, and laws checked by hypothesis."""

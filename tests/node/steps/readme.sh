# shellcheck shell=bash
step_readme() { :; }

# What contributors run. Every recipe is one command, so all of it works without just too.

# List the recipes.
default:
    @just --list

# Make everything again that is made from the catalogue and the configuration.
regen:
    tools/regen.sh

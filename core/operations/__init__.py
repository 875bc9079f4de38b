"""What an operator wants to know of a gateway that runs: counts over time, and what follows from them.

Lives here: windows of time (`rolling`), the counts of providers, models and credentials (`metrics`), the page that shows them
(`provider_page`), when somebody is to be told (`alerts`) and what rules measure (`signals`), what canaries ask and how they are
judged (`canaries`), what they came to (`canary_tally`).
Pure: what happened comes in as values, the time as ``now``. May not live here: formats of others (Prometheus, OpenTelemetry) and whoever is
notified; they are adapters, which read what is kept here.
"""

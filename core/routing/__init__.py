"""From a model's name to those who may answer, and which of them is asked next.

Lives here: names, the catalog of what can be asked for, strategies, affinity, mitigations, the plan of one exchange. May not live here: what an
answer or a failure means, and how long it is remembered (`dragoman.core.credentials`). Imports that, configuration and errors.

What an exchange does with it::

    plan = router.begin(model, client_key, now, session=router.session(fields, body, client_key))      # or a ClientError
    match plan.next(now):
        case Choice(target, model, reason): ...      # make an attempt, then exactly one plan.report(outcome, now), then plan.next again
        case Wait(until, reason): ...                # come back then
        case GiveUp(has_tried=True): ...             # the last answer of a provider goes to the client
        case refusal: ...                            # plan.explain(refusal, now) has status, code, message and retry_at

An outcome is made by `succeeded`, `classify` (a status that is no success, also one hidden in a stream) or `broken` (no connection, a cut, a client that
left) of `dragoman.core.credentials.outcome`. `plan.answered(succeeded(fields, now), now)` may tell at the head of a good answer what `report` will say again at
its end: a probe then need not last as long as the answer. An attempt that was begun must be reported, whatever happens: it holds a place of its credential.
Between requests: `router.pool.take_changes()`, `router.take_switches()` (for logs and metrics), `router.pool.take_renewals()` (whose token to renew),
`router.save()`.
"""

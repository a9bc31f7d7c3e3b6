"""What Baton does in an upstream's place. Theory of operation.

The planner (`routing/capabilities.py`, pure) compares a request with what an upstream does natively
and names the fills; what they need to know is in the attempt's `Work`. `filled.py` composes them. A
fill is a `Source` that reads from another one: deltas, numbered as the choices of some call, and
what has been used so far. All are pull-based: nothing is read ahead but one batch of each call.

The one order, from the upstream to the caller:

    prompt      ids become text where only text is taken; arrays become calls of one prompt
    n           samples become calls                                          (fan_out.py)
    suffix      a template of the model's family around the prompt            (infilled.py)
    max_tokens  what overruns is cut; 0 generates nothing       (measured.py, cut.py, alone.py)
    stop        the text ends before the stop, and the call with it           (cut.py)
    usage       counted where the upstream did not and the vocabulary is known (tallied.py)
    best_of     the likeliest candidates                                      (best.py)
    suffix      else candidates ranked by how likely they make the suffix     (ranked.py)
    echo        the prompt before the first text                              (echoed.py)

Each stands where it does for a reason: cuts are made in each call, so that one that has nothing
left to say is closed at once; ranking sees what the caller would see; nothing looks into the echo.
What is decided about text (where to cut, which is best, what comes first) is pure and lives in
`semantics/`; here is what has to wait.
"""

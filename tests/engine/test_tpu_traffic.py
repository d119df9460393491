"""HBM traffic of programs as the TPU's compiler prints them, cut down to what counts."""

from engine.tpu import traffic


def program(*lines, before=""):
    return "\n".join(
        ["HloModule m", before, "ENTRY %main (a: f32[256]) -> f32[256] {", *lines, "}"]
    )


def test_an_instruction_reads_its_operands_and_writes_its_result():
    text = program(
        "  %a = f32[256]{0:T(256)} parameter(0)",
        "  ROOT %sum = f32[256]{0:T(256)} add(%a, %a)",
    )
    assert traffic.hbm_bytes(text) == 3 * 1024


def test_what_lies_in_the_chips_own_memory_is_not_counted():
    text = program(
        "  %a = f32[256]{0:T(256)} parameter(0)",
        "  %go = (f32[256]{0:T(256)S(1)}, f32[256]{0:T(256)}, u32[]{:S(2)}) copy-start(%a)",
        "  %in = f32[256]{0:T(256)S(1)} copy-done(%go)",
        "  %sum = f32[256]{0:T(256)S(1)} add(%in, %in)",
        "  ROOT %out = f32[256]{0:T(256)} copy(%sum)",
    )
    assert traffic.hbm_bytes(text) == 2 * 1024


def test_of_what_is_gathered_from_only_what_is_taken_counts():
    gathers = """
%inner (q: u8[60000,784], j: s32[8]) -> u8[8,784] {
  %j = s32[8]{0} parameter(1)
  %q = u8[60000,784]{1,0} parameter(0)
  ROOT %taken = u8[8,784]{1,0} gather(%q, %j), slice_sizes={1,784}
}
%fused (p: u8[60000,784], i: s32[8]) -> u8[8,784] {
  %p = u8[60000,784]{1,0} parameter(0)
  %i = s32[8]{0} parameter(1)
  %same = u8[60000,784]{1,0} bitcast(%p)
  ROOT %nested = u8[8,784]{1,0} fusion(%same, %i), kind=kLoop, calls=%inner
}"""
    text = program(
        "  %data = u8[60000,784]{1,0:T(8,128)} parameter(0)",
        "  %rows = s32[8]{0:T(128)S(1)} parameter(1)",
        "  ROOT %batch = u8[8,784]{1,0} fusion(%data, %rows), kind=kCustom, calls=%fused",
        before=gathers,
    )
    assert traffic.hbm_bytes(text) == 2 * 8 * 784


def test_an_update_in_place_counts_what_it_writes():
    text = program(
        "  %all = f32[4096]{0} parameter(0)",
        "  %new = f32[16]{0} parameter(1)",
        "  %at = s32[]{:S(6)} parameter(2)",
        "  ROOT %set = f32[4096]{0} dynamic-update-slice(%all, %new, %at)",
    )
    assert traffic.hbm_bytes(text) == 2 * 16 * 4


def test_a_loop_counts_as_often_as_it_is_known_to_run():
    body = """
%body (s: f32[256]) -> f32[256] {
  %s = f32[256]{0} parameter(0)
  ROOT %next = f32[256]{0} negate(%s)
}"""
    loop = "  ROOT %w = f32[256]{0} while(%a), condition=%c, body=%body"
    known = loop + ', backend_config={"known_trip_count":{"n":"5"}}'
    for line, times in ((loop, 1), (known, 5)):
        text = program("  %a = f32[256]{0} parameter(0)", line, before=body)
        assert traffic.hbm_bytes(text) == times * 2 * 1024


def test_text_without_a_program_moves_nothing():
    assert traffic.hbm_bytes("") == 0

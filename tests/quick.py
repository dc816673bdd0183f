"""Which tests `make quick` runs: whole files, but for a few tests of them that take long.

A file belongs here if its tests take two or three seconds together, at most, imports included. A
new file is not quick unless it is here; `make quick` shows what takes longest.
"""

FILES = {
    "test_augment",
    "test_behaviour",
    "test_benchmark_selection",
    "test_bundle",
    "test_ceiling",
    "test_changing_parameters",
    "test_cli",
    "test_config_load",
    "test_config_reference",
    "test_config_yaml",
    "test_contrastive",
    "test_controller",
    "test_controller_arguments",
    "test_controller_layouts",
    "test_controller_schedulers",
    "test_cross_fitted",
    "test_early_looks",
    "test_groups",
    "test_guard_cautious",
    "test_guidance",
    "test_guidance_actions",
    "test_hook_order",
    "test_house",
    "test_last_good",
    "test_layers_of_parts",
    "test_measures",
    "test_network",
    "test_optimizers",
    "test_overshoot",
    "test_project_files",
    "test_published",
    "test_rates",
    "test_reader",
    "test_early_stopping",
    "test_schedules",
    "test_seeing",
    "test_stall",
    "test_statistics",
    "test_streams",
    "test_torch_defaults",
    "test_tuned_on_others",
    "test_unwrap",
    "test_window",
}
"""Names of test files, without their ending."""

BUT = {
    "test_help_imports_nothing_slow",
    "test_importing_l2o_is_light",
    "test_installed_command_ends_with_real_exit_codes",
    "test_interrupt_says_where_and_how_to_go_on",
    "test_the_loop_that_a_report_begins_with_runs",
}
"""Names of tests in those files that are left out: they start Python anew, which imports torch."""

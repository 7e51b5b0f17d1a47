"""The scenarios that the tests of the iRODS Automated Ingest Framework 0.7.0 go through, with code of our own.

Each runs in worlds of 1 rank and of 4. Where the framework counts failed and retried tasks, these look at the summary
and the failures of the run. The map, by the framework's test files and classes; ``test_map`` holds it complete:

test_irods_sync
  Test_event_handlers
    no_event_handler                            scenarios/test_targets.py::test_deep_directories_into_a_deep_collection_without_a_handler
    no_op                                       scenarios/test_hooks.py::test_around_what_hooks_are_called
                                                scenarios/test_delete.py::test_what_is_gone_goes_as_the_mode_says
    create_dir                                  scenarios/test_targets.py::test_deep_directories_into_a_deep_collection_without_a_handler
    timeout                                     test_published_style.py::test_timeout
  Test_retry
    no_retry                                    test_published_style.py::test_no_retry
    retry                                       test_published_style.py::test_retry_with_delay
  Test_pre_and_post_job
    pre_job, post_job                           test_published_style.py::test_job_hooks
  Test_no_sync
    no_sync, root                               scenarios/test_put.py::test_put_leaves_what_has_changed
  Test_sync
    sync, root                                  scenarios/test_put.py::test_what_has_changed_follows
  Test_update
    update, leaf, root                          scenarios/test_register.py::test_size_and_mtime_follow_the_file
  Test_put
    put, root, multiple_workers                 scenarios/test_put.py::test_put
    leaf, non_leaf_non_root                     scenarios/test_put.py::test_nothing_is_put_beside_the_root_of_a_tree
  Test_append
    append, root                                scenarios/test_put.py::test_what_has_changed_follows
                                                scenarios/test_put.py::test_appends_send_only_the_end
  Test_pep_callbacks
    create_peps, modify_peps, empty_coll_create_peps
                                                scenarios/test_hooks.py::test_around_what_hooks_are_called
  Test_register_as_replica
    leaf, root, update with two replicas        scenarios/test_replica.py::test_the_new_replica_is_good_and_the_old_one_stale
    non_leaf_non_root                           scenarios/test_replica.py::test_a_middle_node_is_refused
    leaf with another replica in hierarchy      scenarios/test_replica.py::test_a_resource_that_has_another_replica_is_refused
    register with the replica handler (there skipped, irods#4623)
                                                scenarios/test_replica.py::test_the_first_replica_is_registered_as_any_file
  Test_update_metadata
    default, leaf, root                         scenarios/test_register.py::test_a_touched_mode_changes_nothing
  Test_register
    register, leaf, root, multiple_workers      scenarios/test_register.py::test_registered
    non_leaf_non_root                           scenarios/test_register.py::test_a_middle_node_is_refused
    invalid_zone, zone_substring, zone_superstring, root_collection
                                                scenarios/test_targets.py::test_another_zone_and_the_root_collection_are_refused
    deep nonexistent subcollection (its #124)   scenarios/test_targets.py::test_deep_directories_into_a_deep_collection_without_a_handler
    grave accent (its #100)                     scenarios/test_targets.py::test_metadata_below_a_collection_with_a_grave_accent
  test_exclude_options
    file_name, type link, unreadable (its #277) scenarios/test_exclude.py::test_one_file_links_and_one_unreadable_file
                                                test_options.py::test_excludes_leave_out_and_nothing_of_it_is_taken_as_gone
                                                test_kinds_of_entries.py::test_what_may_not_be_read_fails_alone
  Test_irods_sync_character_mapped_path, Test_irods_sync_UnicodeEncodeError
    register, put, put_sync, put_append, as_replica (there skipped)
                                                scenarios/test_names.py::test_they_are_named_as_the_framework_names_them
                                                scenarios/test_names.py::test_metadata_tells_where_they_come_from
                                                scenarios/test_names.py::test_content_and_changes_arrive
  test_event_handler_methods_for_pre_and_post
    data_obj_create, data_obj_modify, coll_create, coll_modify
                                                scenarios/test_hooks.py::test_around_what_hooks_are_called
                                                scenarios/test_hooks.py::test_hooks_can_annotate
test_delete_modes
  compatible pairs, emptied directory (its #288)
                                                scenarios/test_delete.py::test_what_is_gone_goes_as_the_mode_says
                                                scenarios/test_delete.py::test_collections_go_with_their_directories_and_an_emptied_one_stays
  incompatible pairs                            scenarios/test_delete.py::test_a_directory_whose_mode_does_not_fit_is_refused_before_any_work
                                                scenarios/test_delete.py::test_a_job_whose_mode_does_not_fit_is_refused_before_any_work
(beside the framework's tests, from its source)
  hooks of the root and of parents of the target
                                                scenarios/test_around.py::test_the_root_and_the_parents_of_the_target_have_their_hooks
  equal objects are not put again (its #130)    scenarios/test_around.py::test_an_equal_object_is_adopted_by_its_checksum
test_s3_bucket_scan                             not here: mpingest scans file systems
"""  # noqa: E501

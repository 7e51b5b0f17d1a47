"""What any zone does: run against the embedded one, or with MPINGEST_TEST_IRODS_ENV=FILE against a real one."""

# For tests/integration/test_sandbox.py and test_escapes.py: sandboxes without a bus; for test_executor.py: both
# neighbours of the executor.
foreach(program executor_run executor_peer no_namespaces seccomp_profile)
	add_executable(${program} ${CMAKE_SOURCE_DIR}/tests/support/${program}.c)
	target_link_libraries(${program} PRIVATE box_flags box_executor)
	set_target_properties(${program} PROPERTIES RUNTIME_OUTPUT_DIRECTORY ${CMAKE_BINARY_DIR}/bin)
endforeach()
target_link_libraries(no_namespaces PRIVATE PkgConfig::SECCOMP)
target_link_libraries(seccomp_profile PRIVATE PkgConfig::SECCOMP)

foreach(file wire result hide secrets hostcalls tables cgroup host)
	box_unit_test(executor ${file} LIBS box_executor)
endforeach()
foreach(file wire result hostcalls)
	box_fuzz(executor_${file} SERVICE executor LIBS box_executor)
endforeach()
# The Python runtime by itself: nothing of it is run in a sandbox here.
add_test(NAME unit_executor_runtime COMMAND /usr/bin/python3 -B -m unittest discover
	-s ${CMAKE_SOURCE_DIR}/tests/unit/executor -p "test_*.py")
set_tests_properties(unit_executor_runtime PROPERTIES LABELS unit TIMEOUT 120
	ENVIRONMENT PYTHONPATH=${CMAKE_SOURCE_DIR}/services/executor/runtime)
# Real control groups; skipped by name where the host has none of that version or the user is not root.
add_executable(integration_cgroup ${CMAKE_SOURCE_DIR}/tests/integration/executor/test_cgroup.c)
target_link_libraries(integration_cgroup PRIVATE box_flags box_executor ${CMOCKA_LIBRARY})
target_include_directories(integration_cgroup PRIVATE ${CMAKE_SOURCE_DIR}/tests/support)
foreach(version 1 2)
	add_test(NAME integration_cgroup_v${version}
		COMMAND integration_cgroup ${CMAKE_SOURCE_DIR} ${version})
	set_tests_properties(integration_cgroup_v${version} PROPERTIES LABELS integration TIMEOUT 60
		SKIP_RETURN_CODE 77)
endforeach()

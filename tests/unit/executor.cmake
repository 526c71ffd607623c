# For tests/integration/test_sandbox.py and test_escapes.py: sandboxes without a bus; for test_executor.py: both
# neighbours of the executor.
foreach(program executor_run executor_peer no_namespaces)
	add_executable(${program} ${CMAKE_SOURCE_DIR}/tests/support/${program}.c)
	target_link_libraries(${program} PRIVATE box_flags box_executor)
	set_target_properties(${program} PROPERTIES RUNTIME_OUTPUT_DIRECTORY ${CMAKE_BINARY_DIR}/bin)
endforeach()
target_link_libraries(no_namespaces PRIVATE PkgConfig::SECCOMP)

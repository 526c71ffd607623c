# For tests/integration/test_executor.py and test_escapes.py: sandboxes without a bus.
add_executable(executor_run ${CMAKE_SOURCE_DIR}/tests/support/executor_run.c)
target_link_libraries(executor_run PRIVATE box_flags box_executor)
set_target_properties(executor_run PROPERTIES RUNTIME_OUTPUT_DIRECTORY ${CMAKE_BINARY_DIR}/bin)
add_executable(no_namespaces ${CMAKE_SOURCE_DIR}/tests/support/no_namespaces.c)
target_link_libraries(no_namespaces PRIVATE box_flags PkgConfig::SECCOMP)
set_target_properties(no_namespaces PROPERTIES RUNTIME_OUTPUT_DIRECTORY ${CMAKE_BINARY_DIR}/bin)

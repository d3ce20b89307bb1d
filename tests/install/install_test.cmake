# Run by ctest: install, configure the consumer with nothing but the prefix, build it, run it.
function(run)
  execute_process(COMMAND ${ARGN} RESULT_VARIABLE status)
  if(NOT status EQUAL 0)
    message(FATAL_ERROR "failed with status ${status}: ${ARGN}")
  endif()
endfunction()

file(REMOVE_RECURSE "${PREFIX}" "${CONSUMER}")
run(${CMAKE_COMMAND} --install ${BUILD} --prefix ${PREFIX})
run(${CMAKE_COMMAND} -G Ninja -S ${SOURCE} -B ${CONSUMER} -D CMAKE_CXX_COMPILER=${COMPILER}
    -D CMAKE_PREFIX_PATH=${PREFIX} -D CMAKE_BUILD_TYPE=Release)
run(${CMAKE_COMMAND} --build ${CONSUMER})
run(${CONSUMER}/consumer)
run(${PREFIX}/bin/lowrank --version)

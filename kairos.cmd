@echo off
rem Runs Kairos' command line; on first use makes the bundled runtime.
setlocal
set "ROOT=%~dp0"
set "ROOT=%ROOT:~0,-1%"
set "RUNTIME=%KAIROS_RUNTIME%"
if not defined RUNTIME set "RUNTIME=%ROOT%\.runtime"

rem The quick way: the runtime is ready, for this checkout and this pyproject.toml.
if /i "%~1"=="test" goto long
if defined KAIROS_TORCH goto long
if not exist "%RUNTIME%\env\Scripts\python.exe" goto long
if not exist "%RUNTIME%\ready-1" goto long
set "READY="
set /p READY=<"%RUNTIME%\ready-1"
if /i not "%READY%"=="%ROOT%" goto long
fc /b "%ROOT%\pyproject.toml" "%RUNTIME%\pyproject.toml" >nul 2>&1
if errorlevel 1 goto long
set "PYTHONHOME="
set "PYTHONPATH="
"%RUNTIME%\env\Scripts\python.exe" -I -m kairos %*
exit /b %ERRORLEVEL%

:long
rem The long way: any Python from 3.9 on can make the runtime.
set "START=import sys; sys.path[:0] = [sys.argv[1] + '/installer', sys.argv[1] + '/nodes']; from kairos_installer.launch import main; sys.exit(main(sys.argv[1:]))"
for %%P in ("py -3" "python" "python3") do (
    %%~P -I -c "import sys; sys.exit(sys.version_info < (3, 9))" >nul 2>&1 && (
        set "PYTHON=%%~P"
        goto start
    )
)
echo kairos: there is no Python here. Install Python 3.13 (64-bit) from python.org, then run this again. 1>&2
exit /b 1

:start
%PYTHON% -I -c "%START%" "%ROOT%" %*
exit /b %ERRORLEVEL%

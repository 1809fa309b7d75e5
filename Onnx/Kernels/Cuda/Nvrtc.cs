using System.Runtime.InteropServices;
using System.Text;

namespace Microsoft.ML.Attention.Onnx.Kernels.Cuda;

/// <summary>NVIDIA's run-time compiler: CUDA C++ text to machine code of the device at hand. No CUDA headers are needed.</summary>
internal sealed unsafe class Nvrtc
{
    private static readonly Lazy<Nvrtc> Loaded = new(() => new Nvrtc());

    private readonly delegate* unmanaged<nint*, byte*, byte*, int, byte**, byte**, int> _createProgram;
    private readonly delegate* unmanaged<nint*, int> _destroyProgram;
    private readonly delegate* unmanaged<nint, int, byte**, int> _compileProgram;
    private readonly delegate* unmanaged<int, byte*> _getErrorString;
    private readonly nint _library;
    private readonly int[] _architectures;

    private Nvrtc()
    {
        _library = NativeLibraries.Load(Names(), "NVIDIA's run-time compiler, part of the CUDA runtime libraries that the CUDA execution provider needs");
        _createProgram = (delegate* unmanaged<nint*, byte*, byte*, int, byte**, byte**, int>)Export("nvrtcCreateProgram");
        _destroyProgram = (delegate* unmanaged<nint*, int>)Export("nvrtcDestroyProgram");
        _compileProgram = (delegate* unmanaged<nint, int, byte**, int>)Export("nvrtcCompileProgram");
        _getErrorString = (delegate* unmanaged<int, byte*>)Export("nvrtcGetErrorString");
        int major, minor, count;
        Check(((delegate* unmanaged<int*, int*, int>)Export("nvrtcVersion"))(&major, &minor), "nvrtcVersion");
        Check(((delegate* unmanaged<int*, int>)Export("nvrtcGetNumSupportedArchs"))(&count), "nvrtcGetNumSupportedArchs");
        _architectures = new int[count];
        fixed (int* architectures = _architectures)
            Check(((delegate* unmanaged<int*, int>)Export("nvrtcGetSupportedArchs"))(architectures), "nvrtcGetSupportedArchs");
        Version = $"{major}.{minor}";
    }

    /// <exception cref="NotSupportedException">NVRTC is not on the library path.</exception>
    public static Nvrtc Instance => Loaded.Value;

    public string Version { get; }

    /// <summary>Compiles to a cubin, or to PTX where the device is newer than the compiler.</summary>
    /// <exception cref="KernelException">The text does not compile; the message has the compiler's log.</exception>
    public byte[] Compile(CudaSource source, IReadOnlyList<string> options, int architecture)
    {
        var exact = _architectures.Contains(architecture);
        var target = exact ? architecture : _architectures.Where(a => a < architecture).DefaultIfEmpty(architecture).Max();
        string[] all = [$"--gpu-architecture={(exact ? "sm" : "compute")}_{target}", "--std=c++17", .. options];

        using var text = new Utf8Strings([source.Text, source.Name]);
        using var headers = new Utf8Strings([.. source.Headers.Select(header => header.Text)]);
        using var headerNames = new Utf8Strings([.. source.Headers.Select(header => header.Name)]);
        using var arguments = new Utf8Strings(all);
        nint program;
        Check(
            _createProgram(&program, text[0], text[1], source.Headers.Count, headers.Pointers, headerNames.Pointers),
            "nvrtcCreateProgram");
        try
        {
            var result = _compileProgram(program, all.Length, arguments.Pointers);
            if (result != 0)
                throw new KernelException($"'{source.Name}' does not compile ({string.Join(' ', all)}):\n{Log(program)}");
            return exact ? Result(program, "nvrtcGetCUBINSize", "nvrtcGetCUBIN") : Result(program, "nvrtcGetPTXSize", "nvrtcGetPTX");
        }
        finally
        {
            _destroyProgram(&program);
        }
    }

    /// <summary>The versions known to work; machine code of a version newer than the driver's would not load.</summary>
    private static IEnumerable<string> Names()
    {
        int[] versions = CudaDriver.Instance.MajorVersion >= 13 ? [13, 12] : [12, 13];
        return versions.Select(version => OperatingSystem.IsWindows() ? $"nvrtc64_{version}0_0.dll" : $"libnvrtc.so.{version}");
    }

    private string Log(nint program) => Encoding.UTF8.GetString(Result(program, "nvrtcGetProgramLogSize", "nvrtcGetProgramLog")).TrimEnd('\0', '\n');

    private byte[] Result(nint program, string sizeFunction, string function)
    {
        nuint size;
        Check(((delegate* unmanaged<nint, nuint*, int>)Export(sizeFunction))(program, &size), sizeFunction);
        var result = new byte[size];
        fixed (byte* data = result)
            Check(((delegate* unmanaged<nint, byte*, int>)Export(function))(program, data), function);
        return result;
    }

    private nint Export(string name) => NativeLibrary.GetExport(_library, name);

    private void Check(int result, string what)
    {
        if (result != 0)
            throw new KernelException($"NVRTC error {result} ({Marshal.PtrToStringUTF8((nint)_getErrorString(result))}) in {what}");
    }

    /// <summary>Strings as C has them, while a call needs them.</summary>
    private readonly struct Utf8Strings : IDisposable
    {
        private readonly int _count;

        public Utf8Strings(string[] strings)
        {
            _count = strings.Length;
            Pointers = (byte**)NativeMemory.Alloc((nuint)Math.Max(_count, 1), (nuint)sizeof(byte*));
            for (var i = 0; i < _count; i++)
                Pointers[i] = (byte*)Marshal.StringToCoTaskMemUTF8(strings[i]);
        }

        public byte** Pointers { get; }

        public byte* this[int index] => Pointers[index];

        public void Dispose()
        {
            for (var i = 0; i < _count; i++)
                Marshal.FreeCoTaskMem((nint)Pointers[i]);
            NativeMemory.Free(Pointers);
        }
    }
}

using System.Collections.Concurrent;

namespace Microsoft.ML.Attention.Onnx.Kernels.Cuda;

/// <summary>
/// An embedded <c>.cu</c> text with its macros, compiled at first use for each device and kept for the life of the process.
/// </summary>
/// <param name="source">File name of the text.</param>
/// <param name="defines">Macros, for example <c>T_HALF</c> or <c>ROWS=4</c>.</param>
internal sealed class CudaProgram(string source, params string[] defines)
{
    private readonly ConcurrentDictionary<nint, nint> _modules = new();
    private readonly ConcurrentDictionary<(nint Context, string Name), CudaFunction> _functions = new();
    private readonly Lock _loading = new();

    /// <summary>A text that includes storage.cuh, for elements of type <typeparamref name="T"/>: <see cref="float"/> or <see cref="Half"/>.</summary>
    public static CudaProgram For<T>(string source, params string[] defines)
        where T : unmanaged =>
        new(source, typeof(T) == typeof(Half) ? [.. defines, "T_HALF"] : defines);

    /// <summary>An <c>extern "C"</c> kernel of the text, for the calling thread's device.</summary>
    public CudaFunction Function(string name)
    {
        var context = CudaDriver.Instance.CurrentContext;
        return _functions.TryGetValue((context, name), out var function) ? function : Load(context, name);
    }

    private CudaFunction Load(nint context, string name)
    {
        lock (_loading)
        {
            var driver = CudaDriver.Instance;
            if (!_modules.TryGetValue(context, out var module))
                _modules[context] = module = driver.LoadModule(Compile(driver.CurrentDevice));
            return _functions.GetOrAdd((context, name), key => new CudaFunction(key.Name, driver.GetFunction(module, key.Name)));
        }
    }

    private byte[] Compile(CudaDevice device)
    {
        var text = CudaSource.Embedded(source);
        string[] options = [.. defines.Select(define => $"-D{define}")];
        string[] ingredients =
            [Nvrtc.Instance.Version, $"{device.Architecture}", .. options, text.Text, .. text.Headers.SelectMany(header => new[] { header.Name, header.Text })];
        return CubinCache.ForUser.GetOrAdd(ingredients, () => Nvrtc.Instance.Compile(text, options, device.Architecture));
    }
}

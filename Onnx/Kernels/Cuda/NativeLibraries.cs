using System.Runtime.InteropServices;

namespace Microsoft.ML.Attention.Onnx.Kernels.Cuda;

/// <summary>Loads libraries that the machine may lack.</summary>
internal static class NativeLibraries
{
    /// <summary>The first library that loads.</summary>
    /// <param name="names">File names, the preferred one first.</param>
    /// <param name="description">What the library is and where it comes from, for the error.</param>
    /// <exception cref="NotSupportedException">None loads.</exception>
    public static nint Load(IEnumerable<string> names, string description)
    {
        foreach (var name in names)
        {
            if (NativeLibrary.TryLoad(name, out var library))
                return library;
        }
        throw new NotSupportedException($"{string.Join(" or ", names)} was not found: {description}");
    }
}

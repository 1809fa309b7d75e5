using System.Collections.Concurrent;

namespace Microsoft.ML.Attention;

/// <summary>
/// Column types whose values belong to their source, which may dispose of one when it gives the next or ends (ML.NET's image loader does):
/// a cursor that reads ahead has to copy them.
/// </summary>
internal static class OwnedValues
{
    private static readonly ConcurrentDictionary<Type, Delegate> Copies = new();

    /// <summary>Says how values of a type are copied.</summary>
    public static void Register<T>(Func<T, T> copy)
        where T : class? => Copies[typeof(T)] = copy;

    /// <summary>How values of a type are copied; null where they need not be.</summary>
    public static Func<T, T>? CopyOf<T>() => (Func<T, T>?)Copies.GetValueOrDefault(typeof(T));
}
